"""One object, opened once. Guards its reader from links, devices, second names, and from a second look at a path."""

from __future__ import annotations

import os
import stat

from weighthouse.core.errors import Invalid, NotFound, Unavailable

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Opened:
    """A plain file with one name, held by its descriptor; `mark` names the file and its last change."""

    def __init__(self, path: str, name: str, folder: int) -> None:
        self._path = path
        try:
            self.descriptor = os.open(name, _READ, dir_fd=folder)
        except FileNotFoundError:
            raise missing(path) from None
        except OSError:
            raise strange(path) from None
        found = os.fstat(self.descriptor)
        # A second name may be a hard link to a file that its owner goes on changing, or that is not theirs.
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            self.close()
            raise strange(path)
        self.size = found.st_size
        self.mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        self.ours = found.st_uid == os.geteuid() and not found.st_mode & 0o022

    def read(self, offset: int, size: int) -> bytes:
        data = os.pread(self.descriptor, size, offset) if 0 <= offset <= self.size else b""
        while 0 < len(data) < size:
            more = os.pread(self.descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        if len(data) != size:
            raise Invalid(
                "weights.short_object",
                f"The object {self._path} is shorter than expected.",
                "Save the checkpoint again.",
            )
        return data

    def close(self) -> None:
        os.close(self.descriptor)


def missing(path: str) -> NotFound:
    return NotFound("weights.no_object", f"There is no object at {path}.", "Write every shard before the commit.")


def strange(path: str) -> Invalid:
    return Invalid(
        "weights.not_an_object",
        f"What lies at {path} is a link or a special file, not an object.",
        "Write shards as plain files; security should look at what put it there.",
    )


def down(error: OSError) -> Unavailable:
    return Unavailable(
        "weights.store_unavailable",
        f"The object store failed: {error.strerror or error}.",
        "Free space or repair the volume.",
    )
