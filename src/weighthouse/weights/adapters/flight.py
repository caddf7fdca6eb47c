"""What is being copied into a store right now. Guards its volume from copies that find room alone, not together.

Free space is looked at once, before a copy begins; so what was promised to the others and is not written yet is taken
off first. Two copies to one place never run side by side: the second waits, and finds what the first has left.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from weighthouse.core.errors import TooMany

LEAST_FREE = 256 << 20
LOOK_S = 1.0


class Flight:
    """The copies of one store in this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._targets: set[str] = set()
        self._unwritten = 0

    @contextmanager
    def to(self, target: str, pause: Callable[[], None]) -> Iterator[None]:
        """Be the only one who copies to `target`; `pause` is called while another one does, and may raise."""
        while not self._entered(target):
            pause()
        try:
            yield
        finally:
            with self._changed:
                self._targets.discard(target)
                self._changed.notify_all()

    def _entered(self, target: str) -> bool:
        with self._changed:
            if not self._changed.wait_for(lambda: target not in self._targets, LOOK_S):
                return False
            self._targets.add(target)
            return True

    def room(self, folder: int) -> int:
        """How many bytes more may be promised in the volume of `folder`."""
        with self._changed:
            return self._room(folder)

    def _room(self, folder: int) -> int:
        disk = os.fstatvfs(folder)
        return max(0, disk.f_bavail * disk.f_frsize - LEAST_FREE - self._unwritten)

    @contextmanager
    def promised(self, folder: int, size: int) -> Iterator[Callable[[int], None]]:
        """Promise `size` bytes; yields what to call with how many of them were written. Raises TooMany
        `weights.no_room`, which counts against a run: it asks again as often as it likes."""
        left = size
        with self._changed:
            if size > self._room(folder):
                raise TooMany(
                    "weights.no_room",
                    "The volume of the object store has no room for another copy of this shard.",
                    "Free space or add a volume, then commit again.",
                )
            self._unwritten += size

        def wrote(count: int) -> None:
            nonlocal left
            with self._changed:
                self._unwritten -= count
            left -= count

        try:
            yield wrote
        finally:
            wrote(left)
