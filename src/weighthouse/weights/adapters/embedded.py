"""Objects in a folder of this machine. Guards every other file from what a hostile writer leaves in that folder.

A sandbox may write links, devices, pipes and hard links into its part of the folder. Each part of a path is opened
relative to its parent and never through a link; only plain files with one name are objects; creation never replaces.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weighthouse.core.errors import Conflict, Invalid, NotFound, Unavailable
from weighthouse.weights.rules.paths import check_path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderStore:
    """An ObjectStore under `root` (mode 0700)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put_new(self, path: str, data: bytes) -> None:
        parts = check_path(path)
        with self._folder(parts[:-1], make=True) as folder:
            try:
                descriptor = os.open(parts[-1], _CREATE, 0o600, dir_fd=folder)
            except FileExistsError:
                raise Conflict(
                    "weights.object_exists", f"There is an object at {path} already.", "Objects are never replaced."
                ) from None
            except OSError as error:
                raise _down(error) from None
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.fsync(folder)
            except OSError as error:
                os.unlink(parts[-1], dir_fd=folder)
                raise _down(error) from None

    def length(self, path: str) -> int:
        with self._object(path) as (_, size):
            return size

    def read(self, path: str, offset: int, size: int) -> bytes:
        with self._object(path) as (descriptor, length):
            data = os.pread(descriptor, size, offset) if 0 <= offset <= length else b""
            while 0 < len(data) < size:
                more = os.pread(descriptor, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
        if len(data) != size:
            raise Invalid(
                "weights.short_object", f"The object {path} is shorter than expected.", "Save the checkpoint again."
            )
        return data

    def delete(self, prefix: str) -> int:
        parts = check_path(prefix)
        try:
            with self._folder(parts[:-1], make=False) as parent:
                names = _count(parts[-1], parent)
                if names is not None:
                    shutil.rmtree(parts[-1], dir_fd=parent)
                return names or 0
        except NotFound:
            return 0

    def local(self, prefix: str) -> Path | None:
        parts = check_path(prefix)
        with self._folder(parts, make=True):
            return self._root.joinpath(*parts)

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: bool) -> Iterator[int]:
        held = os.open(self._root, _FOLDER)
        try:
            for part in parts:
                if make:
                    try:
                        os.mkdir(part, 0o700, dir_fd=held)
                        os.fsync(held)
                    except FileExistsError:
                        pass
                deeper = self._step(part, held)
                os.close(held)
                held = deeper
            yield held
        finally:
            os.close(held)

    def _step(self, part: str, folder: int) -> int:
        try:
            return os.open(part, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            raise _missing(part) from None
        except OSError:
            # ELOOP or ENOTDIR: a link or a file where a folder belongs. Somebody put it there on purpose.
            raise _strange(part) from None

    @contextmanager
    def _object(self, path: str) -> Iterator[tuple[int, int]]:
        parts = check_path(path)
        with self._folder(parts[:-1], make=False) as folder:
            try:
                descriptor = os.open(parts[-1], _READ, dir_fd=folder)
            except FileNotFoundError:
                raise _missing(path) from None
            except OSError:
                raise _strange(path) from None
        try:
            found = os.fstat(descriptor)
            # A second name may be a hard link to a file that its owner goes on changing, or that is not theirs.
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise _strange(path)
            yield descriptor, found.st_size
        finally:
            os.close(descriptor)


def _count(name: str, parent: int) -> int | None:
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    except OSError:
        return None
    try:
        return sum(len(files) for _, _, files, _ in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False))
    finally:
        os.close(descriptor)


def _missing(path: str) -> NotFound:
    return NotFound("weights.no_object", f"There is no object at {path}.", "Write every shard before the commit.")


def _strange(path: str) -> Invalid:
    return Invalid(
        "weights.not_an_object",
        f"What lies at {path} is a link or a special file, not an object.",
        "Write shards as plain files; security should look at what put it there.",
    )


def _down(error: OSError) -> Unavailable:
    return Unavailable(
        "weights.store_unavailable", f"The object store failed: {error.strerror}.", "Free space or repair the volume."
    )
