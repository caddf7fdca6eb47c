"""Writing one file that exists whole or not at all, whatever kills the server meanwhile. Guards against leftovers.

A file without a name (O_TMPFILE) gets one when all of it is durable. Where a file system has no such files, a name
that begins with a dot takes its place, which no object has and the sweep removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator

PART = ".part."
_NONE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS)


def write_new(folder: int, name: str, chunks: Iterable[bytes], mode: int) -> None:
    """Create `name` in `folder`, durable when this returns. Raises FileExistsError, OSError, what `chunks` raises."""
    with _unnamed(folder) as (descriptor, source):
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        os.link(source, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    os.fsync(folder)


@contextlib.contextmanager
def _unnamed(folder: int) -> Iterator[tuple[int, str]]:
    """Yield (descriptor, path to link from) of a new file that is gone afterwards unless it was linked."""
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NONE:
            raise
        name = PART + secrets.token_hex(8)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=folder)
        try:
            yield descriptor, name
        finally:
            os.close(descriptor)
            os.unlink(name, dir_fd=folder)
        return
    try:
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
