"""Followers that do not come on while the log does. Guards what they take back from staying open unseen.

Attack: lock their table. What a follower would end, void or raise an alarm about then goes on, and nothing says so:
the log itself is on time. So each process knows how far each follower has come, by the cursors that it has judged
itself, and since when it has neither moved nor been at the end, by its own waking time, that no database knows.
"""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit.api.waking import awake
from weighthouse.audit.store import log as store
from weighthouse.core.clock import Millis
from weighthouse.core.work import System, Unit


class _Stand(msgspec.Struct):
    """How far one follower has come, and since when it is there while more waits for it."""

    place: int
    since: Millis


class Standing:
    """What one process knows of its followers."""

    def __init__(self) -> None:
        self._stands: dict[str, _Stand] = {}
        self._lock = threading.Lock()

    def met(self, name: str, place: int, now: Millis) -> None:
        """A follower was found at a place that this process vouches for."""
        with self._lock:
            stand = self._stands.setdefault(name, _Stand(place, now))
            if place > stand.place:
                stand.place, stand.since = place, now

    def ask(self, size: int, now: Millis) -> list[tuple[str, Millis]]:
        """Return each follower that has not moved while entries wait for it, and for how long, the longest first."""
        with self._lock:
            for stand in self._stands.values():
                if stand.place >= size:
                    stand.since = now
            found = [(name, now - stand.since) for name, stand in self._stands.items() if now > stand.since]
        return sorted(found, key=lambda one: -one[1])


_standing: WeakKeyDictionary[System, Standing] = WeakKeyDictionary()


def of(system: System) -> Standing:
    """Return what this process knows."""
    return _standing.setdefault(system, Standing())


def standing(unit: Unit) -> list[tuple[str, Millis]]:
    """Return the followers that stand still now, and for how long, the longest first."""
    head = store.read_head(unit.conn)
    return of(unit.system).ask(head.size if head else 0, awake(unit.system))
