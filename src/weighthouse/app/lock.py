"""The one lock of a state folder, taken before anything else is touched. Guards a running server from a second one.

Whoever serves a folder, makes one or works on its log holds the lock, and a second one is refused and has changed
nothing. The kernel holds it on an open descriptor, so it ends with the process, however that ends; what the file says
is only for the person who is refused. Commands that only read do not ask for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from weighthouse.core.errors import Conflict, Unavailable

NAME = "lock"
_SAID = 200


class StateLock:
    """The lock of one folder: held from `take` until `release` or the end of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._held: int | None = None

    def take(self, what: str) -> None:
        """Hold the lock as `what` (a command); does nothing if this object holds it already.

        Raises `app.state_in_use` if another process holds it and `app.no_lock` if the file cannot be opened.
        """
        while self._held is None:
            descriptor = self._open()
            if not self._alone(descriptor):
                raise self._in_use(descriptor)
            if _same(descriptor, self._path):
                self._held = descriptor
                with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"process {os.getpid()} (weighthouse {what})".encode(), 0)
            else:  # the file was removed between opening and locking: that lock would keep nobody out
                os.close(descriptor)

    def release(self) -> None:
        """Let go of the folder; the file stays, for removing it would let two in."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def remove(self) -> None:
        """Remove the file while this object holds it, for a folder that is about to go."""
        if self._held is not None:
            self._path.unlink()

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(
                "app.no_lock",
                f"The lock {self._path} cannot be opened: {error.strerror}.",
                "Make the state folder writable for the user who runs this, and free some space on its disk.",
            ) from None

    def _alone(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            os.close(descriptor)
            raise Unavailable(
                "app.no_lock",
                f"The volume of {self._path} keeps no locks: {error.strerror}.",
                "Keep the state folder on a disk of this machine.",
            ) from None
        return True

    def _in_use(self, descriptor: int) -> Conflict:
        said = os.pread(descriptor, _SAID, 0).decode("utf-8", "replace")
        os.close(descriptor)
        return Conflict(
            "app.state_in_use",
            f"{self._folder} is in use by {said if said.isprintable() and said else 'another process'}.",
            "End that process first, or choose another folder with --state; nothing was changed.",
        )


def _same(descriptor: int, path: Path) -> bool:
    opened = os.fstat(descriptor)
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino)
