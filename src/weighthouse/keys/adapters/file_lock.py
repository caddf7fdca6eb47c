"""A lock between processes, waited for only so long. Guards the server from whoever takes it and never lets go.

The kernel wakes nobody at a deadline, so the lock is asked for again and again, a hundred times a second.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weighthouse.core.errors import Unavailable

_PAUSE_S = 0.01


@contextmanager
def held(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock at `path`; raise `keys.busy` when another holds it for `wait_s`, OSError when there is none."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, f"{path.name} is no regular file")
        deadline = time.monotonic() + wait_s
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                raise busy(str(path))
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def busy(what: str) -> Unavailable:
    """The refusal of a change that others have kept out for too long."""
    return Unavailable(
        "keys.busy",
        f"Another process or thread is changing the key file and holds {what}; nothing was changed.",
        "Try again. If it stays so, find who holds the lock (lslocks) and end that process.",
    )
