"""Writing what must not be lost, whole or not at all. Guards memories beside the database from a disk that is full.

`write` takes what fits and says how much: on a full disk that is half a line, and no error. Here all of it is on the
disk when a call returns; otherwise nothing is, and the caller refuses with `core.not_kept`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from weighthouse.core.errors import Unavailable

_PIECE = 64 << 10


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn a failure of the disk into `core.not_kept`, which names the file and what helps."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            "core.not_kept",
            f"{path} could not be written: {error.strerror or error}. What is not kept there is not done.",
            "Free space on its volume, or look at the disk and who may write there; then try again.",
        ) from error


def write(descriptor: int, data: bytes, at: int) -> None:
    """Write all of `data` at `at`; raises OSError if not all of it fits."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, at)
        at, rest = at + count, rest[count:]


def append(descriptor: int, lines: bytes) -> None:
    """Append whole lines and flush them; on OSError the file is as it was.

    A last line without its end was never acknowledged, and is cut off first: what comes after it must not be read as
    its rest. The caller keeps other writers out, and opened the file for reading and writing and without O_APPEND.
    """
    end = whole(descriptor)
    os.ftruncate(descriptor, end)
    try:
        write(descriptor, lines, end)
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):  # the next append cuts it off
            os.ftruncate(descriptor, end)
        raise


def whole(descriptor: int) -> int:
    """Return where the last whole line ends."""
    end = os.fstat(descriptor).st_size
    while end:
        begin = max(0, end - _PIECE)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def replace(path: Path, data: bytes, draft: Path) -> None:
    """Put `data` in the place of `path` by way of `draft`, durable when this returns; on OSError all is as it was."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write(descriptor, data, 0)
        os.fsync(descriptor)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
