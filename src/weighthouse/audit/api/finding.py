"""Finding entries for a decision. Guards it from columns: whoever edits one can hide a line, or make one up.

The columns `kind` and `subject` are hearsay: a row that was renamed is found by nobody who asks for its real name. So
each process reads the log once from its beginning, every entry by its index and checked against the signed head, and
keeps where the lines lie that decisions ask for. An entry that is missing or false is a refusal, never an absence.

What is kept is eight bytes a line and one key for each thing that lines are about, of the declared kinds alone.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit.api import growing
from weighthouse.audit.api.reading import TrustedLog
from weighthouse.audit.model import Entry
from weighthouse.audit.store import log as store
from weighthouse.core.clock import Millis
from weighthouse.core.work import System, Unit, read

PAGE = 2_000
ROWS = 200
SUBJECT = "subject"
_Key = tuple[str, str, str]  # kind, by what, and its value


class _Named(msgspec.Struct):
    """The part of a leaf by which decisions find it."""

    kind: str
    subject: str
    data: msgspec.Raw


class _Index:
    """What one process has read, up to which entry, and where the declared lines lie."""

    def __init__(self, epoch: int) -> None:
        self.epoch, self.next = epoch, 0
        self.declared = {kind: frozenset(by) for kind, by in _declared.items()}
        self.places: dict[_Key, array[int]] = {}

    def fits(self, epoch: int) -> bool:
        """Whether this is still the index of that log, with every kind that anybody asks for."""
        return self.epoch == epoch and self.declared == _declared

    def keys(self, leaf: bytes) -> Iterator[_Key]:
        """Under what a line is found: nothing, for most lines."""
        named = msgspec.json.decode(leaf, type=_Named)
        for by in self.declared.get(named.kind, ()):
            yield named.kind, by, named.subject if by == SUBJECT else _value(msgspec.json.decode(named.data), by)


_declared: dict[str, set[str]] = {}
_indexes: WeakKeyDictionary[System, _Index] = WeakKeyDictionary()
_lock = threading.Lock()


class Lines:
    """The lines of one kind, as decisions find them: by subject, or by another field of the fact.

    Several fields are named with a blank between them, and so are their values. An empty `by` finds all of the kind
    together. On PostgreSQL a line appears once the sequencer has taken it.
    """

    def __init__(self, kind: str, *, by: str = SUBJECT) -> None:
        self._kind, self._by = kind, by
        _declared.setdefault(kind, set()).add(by)

    def of(
        self,
        unit: Unit,
        value: str = "",
        *,
        start: int = 0,
        end: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return the lines about `value` from index `start` on and before `end`, the oldest `limit` or the newest.

        Raises `audit.tampered` when an entry of the log is missing or is not the one the tree holds.
        """
        log = TrustedLog(unit)
        places = _places(unit, log, (self._kind, self._by, value), start)
        places = places[: bisect_left(places, log.head.size if end is None else min(end, log.head.size))]
        if newest_first:
            places = places[::-1]
        return [one for one in _read(unit, log, places[:limit]) if self._is(one, value)]

    def count(self, unit: Unit, value: str = "") -> int:
        """Return how many lines about `value` there are, without reading them again."""
        return len(_places(unit, TrustedLog(unit), (self._kind, self._by, value)))

    def newest(self, unit: Unit, value: str = "") -> Entry | None:
        """Return the newest line about `value`, if there is one."""
        return next(iter(self.of(unit, value, limit=1, newest_first=True)), None)

    def any(self, unit: Unit, value: str = "") -> bool:
        """Whether there is a line about `value`."""
        return self.newest(unit, value) is not None

    def since(self, unit: Unit, at: Millis, value: str = "") -> int:
        """Return from which index on the lines about `value` are at or after a time, halving them."""
        log = TrustedLog(unit)
        places = _places(unit, log, (self._kind, self._by, value))
        low, high = 0, bisect_left(places, log.head.size)
        while low < high:
            middle = (low + high) // 2
            entry = next(_read(unit, log, places[middle : middle + 1]))
            low, high = (middle + 1, high) if entry.at < at else (low, middle)
        return places[low] if low < len(places) else log.head.size

    def _is(self, entry: Entry, value: str) -> bool:
        said = entry.subject if self._by == SUBJECT else _value(entry.data, self._by)
        if (entry.kind, said) != (self._kind, value):  # another log stands here than the one that was read
            raise growing.tampered(f"entry {entry.index} is not the one that was read before")
        return True


def keep_up(system: System) -> None:
    """Read what the log has grown by, so that a decision need not."""
    with read(system) as unit:
        _places(unit, TrustedLog(unit), ("", "", ""))


def _value(data: Mapping[str, Any], by: str) -> str:
    return " ".join(str(data.get(name, "")) for name in by.split())


def _places(unit: Unit, log: TrustedLog, key: _Key, start: int = 0) -> array[int]:
    """Return where lines lie from `start` on, after reading what is new; those of this very unit are not kept.

    A unit that has extended the log may yet be rolled back, and then other lines come to stand there.
    """
    index, end = _advanced(unit, log)
    with _lock:
        known = index.places.get(key, array("Q"))
        found = known[bisect_left(known, start) :]  # what is asked for, for there may be millions
    for place, row in _rows(unit, log, end):
        if place >= start and key in index.keys(row.leaf):
            found.append(place)
    return found


def _advanced(unit: Unit, log: TrustedLog) -> tuple[_Index, int]:
    """Return the index, and up to where it holds the committed log."""
    own = growing.grown_from(unit)
    size = log.head.size if own is None else own
    while True:
        seen = TrustedLog(unit)  # anew for each page, for it keeps every tile that it has met
        with _lock:  # for a page at a time: whoever waits for a long log goes on with it
            index = _indexes.get(unit.system)
            if index is None or not index.fits(log.head.epoch):
                index = _indexes[unit.system] = _Index(log.head.epoch)
            if index.next >= size:
                return index, min(size, index.next)
            _take(unit, seen, index, min(size, index.next + PAGE))


def _take(unit: Unit, log: TrustedLog, index: _Index, end: int) -> None:
    for place, row in _rows(unit, log, index.next, end):
        for key in index.keys(row.leaf):
            index.places.setdefault(key, array("Q")).append(place)
        index.next = place + 1


def _rows(unit: Unit, log: TrustedLog, start: int, end: int | None = None) -> Iterator[tuple[int, store.EntryRow]]:
    """Yield every row in [start, end), each checked; raise `audit.tampered` at the first that is missing."""
    end = log.head.size if end is None else end
    rows = store.read_entries(unit.conn, start=start, end=end, limit=end - start) if start < end else []
    for place, row in enumerate(rows, start):
        if row.place != place:
            raise growing.tampered(f"entry {place} is missing")
        log.check(row)
        yield place, row
    if start < end and len(rows) != end - start:
        raise growing.tampered(f"entry {start + len(rows)} is missing")


def _read(unit: Unit, log: TrustedLog, places: Sequence[int]) -> Iterator[Entry]:
    """Yield the entries at these places, each read by its index and checked again."""
    for first in range(0, len(places), ROWS):
        wanted = places[first : first + ROWS]
        rows = {row.place: row for row in store.entries_at(unit.conn, wanted)}
        for place in wanted:
            if place not in rows:
                raise growing.tampered(f"entry {place} is missing")
            yield log.entry(rows[place])
