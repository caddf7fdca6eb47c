"""Sums over the log in a window of time. Guards budgets from whoever can lower a counter in the database.

Every entry since the window before began is read by its index and checked, so that none can be left out: a selection
by kind or subject would believe the columns of a table. Each process reads each entry once and keeps those of two
windows, for a window that slides holds a part of the one before: at midnight nothing starts at nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
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
    """What one process has read: since which window, up to which index, and each amount with its time by key."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.first = -1
        self.next = -1
        self.logged: dict[str, list[tuple[Millis, int]]] = {}
        self.committed: dict[str, dict[int, int]] = {}

    def drop_before(self, window: int, length: Millis) -> None:
        self.first = window
        kept = {key: [one for one in found if one[0] >= window * length] for key, found in self.logged.items()}
        self.logged = {key: found for key, found in kept.items() if found}
        late = {
            key: {of: sum_ for of, sum_ in found.items() if of >= window} for key, found in self.committed.items()
        }
        self.committed = {key: found for key, found in late.items() if found}


class Tally:
    """The sum of `amount` by key over the entries of some kinds, in windows of `window` milliseconds of UTC.

    `keys` names every sum that an entry counts towards. With `surely`, no window begins by a clock that cannot be
    believed: the last one that was sure goes on.
    """

    def __init__(
        self,
        *kinds: str,
        window: Millis,
        keys: Callable[[Entry], Iterable[str]],
        amount: Callable[[Entry], int],
        surely: bool = False,
    ) -> None:
        self._kinds, self._window, self._keys, self._amount, self._surely = kinds, window, keys, amount, surely
        self._of: WeakKeyDictionary[System, _Sums] = WeakKeyDictionary()

    def sum(self, unit: Unit, key: str) -> int:
        """Return the sum for `key` in the window of now; raise `audit.tampered` when an entry is missing or false."""
        window, _, goes_on = self._now(unit)
        sums = self._of.setdefault(unit.system, _Sums())
        with sums.lock:
            self._advance(unit, sums, window)
            logged = sum(
                amount
                for at, amount in sums.logged.get(key, ())
                if at // self._window == window or (goes_on and at // self._window > window)
            )
            return max(logged, sums.committed.get(key, {}).get(window, 0))

    def carried(self, unit: Unit, key: str, said: int = 0) -> int:
        """Return what of the window before still lies within a whole window's length of now.

        `said` is that window's sum as the caller knows it, if that is more than the log has taken so far.
        """
        window, now, _ = self._now(unit)
        sums = self._of.setdefault(unit.system, _Sums())
        with sums.lock:
            self._advance(unit, sums, window)
            before = [one for one in sums.logged.get(key, ()) if one[0] // self._window == window - 1]
            left = sum(amount for at, amount in before if at <= now - self._window)
            whole = max(sum(amount for _, amount in before), sums.committed.get(key, {}).get(window - 1, 0), said)
            return whole - left

    def eases(self, unit: Unit, key: str) -> Millis:
        """Return when the oldest of what counts for `key` has lain back a whole window; now if nothing counts."""
        window, now, _ = self._now(unit)
        sums = self._of.setdefault(unit.system, _Sums())
        with sums.lock:
            self._advance(unit, sums, window)
            counts = [at for at, _ in sums.logged.get(key, ()) if at > now - self._window]
            return min(counts) + self._window if counts else now

    def note(self, unit: Unit, key: str, total: int) -> None:
        """Remember at commit that this unit raises the sum to `total`, for the log may take it a moment later."""
        sums, (window, _, _) = self._of.setdefault(unit.system, _Sums()), self._now(unit)

        def keep() -> None:
            with sums.lock:
                found = sums.committed.setdefault(key, {})
                found[window] = max(total, found.get(window, 0))

        unit.after_commit(keep)

    def _now(self, unit: Unit) -> tuple[int, Millis, bool]:
        """The window, the time that it is judged by, and whether it goes on beyond its end."""
        goes_on = self._surely and unit.clock_suspect
        now = unit.sure if goes_on else unit.now
        return now // self._window, now, goes_on

    def _advance(self, unit: Unit, sums: _Sums, window: int) -> None:
        log = TrustedLog(unit)
        if sums.first < window - 1 and sums.first >= 0:
            sums.drop_before(window - 1, self._window)
        if sums.first != window - 1 or not 0 <= sums.next <= log.head.size:
            sums.first, sums.logged = window - 1, {}
            sums.next = _first(unit, log, sums.first * self._window - SLACK)
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
        if entry.kind in self._kinds and entry.at // self._window >= sums.first:
            for key in self._keys(entry):
                sums.logged.setdefault(key, []).append((entry.at, self._amount(entry)))


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
