"""Sums over the log in a window of time. Guards budgets from whoever can lower a counter in the database.

Every entry since the window began is read by its index and checked, so that none can be left out: a selection by kind
or subject would believe the columns of a table. Each process reads each entry once and keeps the sums of one window.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

from weighthouse.audit.api import growing
from weighthouse.audit.api.reading import TrustedLog
from weighthouse.audit.model import Entry
from weighthouse.audit.store import log as store
from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.work import System, Unit

PAGE = 1_000
# On PostgreSQL, entries of one moment may join the log out of order of their time, by the length of a transaction.
SLACK: Millis = 10 * MINUTE


class _Sums:
    """What one process has read: up to which index, and the sums of one window."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.window = (-1, False)
        self.next = -1
        self.logged: dict[str, int] = {}
        self.committed: dict[str, int] = {}


class Tally:
    """The sum of `amount` by `key` over the entries of one kind, in windows of `window` milliseconds of UTC.

    With `surely`, no window begins by a clock that cannot be believed: the last one that was sure goes on.
    """

    def __init__(
        self,
        kind: str,
        *,
        window: Millis,
        key: Callable[[Entry], str],
        amount: Callable[[Entry], int],
        surely: bool = False,
    ) -> None:
        self._kind, self._window, self._key, self._amount, self._surely = kind, window, key, amount, surely
        self._of: WeakKeyDictionary[System, _Sums] = WeakKeyDictionary()

    def sum(self, unit: Unit, key: str) -> int:
        """Return the sum for `key` in the window of now; raise `audit.tampered` when an entry is missing or false."""
        sums = self._of.setdefault(unit.system, _Sums())
        with sums.lock:
            self._advance(unit, sums)
            return max(sums.logged.get(key, 0), sums.committed.get(key, 0))

    def note(self, unit: Unit, key: str, total: int) -> None:
        """Remember at commit that this unit raises the sum to `total`, for the log may take it a moment later."""
        sums, window = self._of.setdefault(unit.system, _Sums()), self._now(unit)

        def keep() -> None:
            with sums.lock:
                if sums.window == window:
                    sums.committed[key] = max(total, sums.committed.get(key, 0))

        unit.after_commit(keep)

    def _now(self, unit: Unit) -> tuple[int, bool]:
        """The window, and whether it goes on beyond its end."""
        goes_on = self._surely and unit.clock_suspect
        return (unit.sure if goes_on else unit.now) // self._window, goes_on

    def _advance(self, unit: Unit, sums: _Sums) -> None:
        log, window = TrustedLog(unit), self._now(unit)
        if sums.window != window:
            sums.window, sums.logged, sums.committed, sums.next = window, {}, {}, -1
        if not 0 <= sums.next <= log.head.size:
            sums.next = _first(unit, log, window[0] * self._window - SLACK)
        while sums.next < log.head.size:
            rows = store.read_entries(unit.conn, start=sums.next, end=log.head.size, limit=PAGE)
            if not rows:
                raise growing.tampered(f"entry {sums.next} is missing")
            for row in rows:
                if row.place != sums.next:
                    raise growing.tampered(f"entry {sums.next} is missing")
                self._add(sums, log.entry(row))
                sums.next += 1

    def _add(self, sums: _Sums, entry: Entry) -> None:
        window, goes_on = sums.window
        of = entry.at // self._window
        if entry.kind == self._kind and (of == window or (goes_on and of > window)):
            key = self._key(entry)
            sums.logged[key] = sums.logged.get(key, 0) + self._amount(entry)


def since(unit: Unit, at: Millis) -> Iterator[Entry]:
    """Yield every entry of the log since a time, of every kind; raise `audit.tampered` if one is missing or false."""
    log = TrustedLog(unit)
    place = _first(unit, log, at - SLACK)
    while place < log.head.size:
        rows = store.read_entries(unit.conn, start=place, end=log.head.size, limit=PAGE)
        if [row.place for row in rows] != list(range(place, place + len(rows))) or not rows:
            raise growing.tampered(f"an entry from {place} on is missing")
        yield from (entry for row in rows if (entry := log.entry(row)).at >= at)
        place += len(rows)


def _first(unit: Unit, log: TrustedLog, since: Millis) -> int:
    """Return the index of the first entry at or after `since`, halving the log; each entry looked at is checked."""
    low, high = 0, log.head.size
    while low < high:
        middle = (low + high) // 2
        rows = store.read_entries(unit.conn, start=middle, end=middle + 1, limit=1)
        if not rows:
            raise growing.tampered(f"entry {middle} is missing")
        low, high = (middle + 1, high) if log.entry(rows[0]).at < since else (low, middle)
    return low
