"""For how long lines have waited for the sequencer, by what this process has seen. Guards freshness.

Attack: stall the sequencer with a row lock and write later times beside the rows that wait, so that the log looks on
time; then use, at another server, what the first one has revoked. So a line waits since the time in its own bytes and
at least since this process first saw it in its lane, by a clock that no database knows; taking it out of sight for a
moment does not make it new. A log whose head does not grow is as old as it looks.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit.api import clusters, growing, lanes
from weighthouse.audit.rules import leaf as leaves
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.core.clock import MINUTE, SECOND, Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.work import System, Unit, read

GONE: Millis = 2 * MINUTE
"""For how long a line that was seen counts as waiting though its row is gone: its own process has missed it."""

UNSAID: Millis = 10 * SECOND
"""How long at most a line is waited for that would explain a row: whoever stalls the log keeps no row in doubt."""
_MET_KEPT, _TAKEN = 10_000, -1


class _Sight(msgspec.Struct):
    """One line that waits at the front of its lane: when it was seen first and last, and the time it names."""

    first: Millis
    last: Millis
    named: Millis
    genuine: bool


class Watch:
    """What one process has seen of the outbox and of the head, by its monotonic clock."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], _Sight] = {}
        self._size, self._grown = -1, 0
        self._lock = threading.Lock()

    def look(self, unit: Unit) -> tuple[int, Millis]:
        """Return how many rows wait, and for how long the oldest has, 0 if none."""
        now, known = unit.system.clock.monotonic(), lanes.known(unit)
        head = store.read_head(unit.conn) or growing.EMPTY_HEAD
        count, front = outbox.front(unit.conn)
        with self._lock:
            seen = {(row.lane, row.number if row.lane else row.id): row for row in front}
            for key, row in seen.items():
                found = self._lines.get(key)
                if found is None:
                    self._lines[key] = _Sight(now, now, _named(row), clusters.genuine(unit, row, head))
                else:
                    found.last = now
            for key, sight in list(self._lines.items()):
                if key not in seen and (
                    not sight.genuine or known.reached(key[0]) >= key[1] or now - sight.last > GONE
                ):
                    del self._lines[key]
            ages = [max(now - one.first, unit.now - one.named) for one in self._lines.values()]
        return count, max(ages, default=0)

    def still(self, unit: Unit, size: int) -> Millis:
        """Return for how long this process has seen the log at this size."""
        now = unit.system.clock.monotonic()
        with self._lock:
            if size > self._size:
                self._size, self._grown = size, now
            return now - self._grown


_watches: WeakKeyDictionary[System, Watch] = WeakKeyDictionary()


def watch(system: System) -> Watch:
    """Return what this process has seen."""
    return _watches.setdefault(system, Watch())


_met: WeakKeyDictionary[System, OrderedDict[str, Millis]] = WeakKeyDictionary()


def unsaid(unit: Unit, row: str) -> bool:
    """Whether a row that no line of the log explains has had its time: then none will come, and it is not believed.

    Its line was committed with it. So on PostgreSQL the row is met until every line is taken that waited when this
    process met it first, and once more, for then the log is read anew; on SQLite a line is never later than its row.
    """
    if unit.system.database.dialect != "postgresql":
        return True
    now, met = unit.system.clock.monotonic(), _met.setdefault(unit.system, OrderedDict())
    first = met.setdefault(row, now)
    if first == _TAKEN or now - first > UNSAID:
        del met[row]
        return True
    if first < now and watch(unit.system).look(unit)[1] < now - first:
        met[row] = _TAKEN
    while len(met) > _MET_KEPT:
        met.popitem(last=False)
    return False


def waited(system: System) -> Millis:
    """Return for how long the oldest line has waited, whoever wrote it: so long may something be refused elsewhere
    that the log does not tell yet. On SQLite nothing ever waits."""
    if system.database.dialect != "postgresql":
        return 0
    with read(system) as unit:
        return watch(system).look(unit)[1]


def _named(row: outbox.Waiting) -> Millis:
    try:
        return leaves.parse(row.leaf).at
    except Invalid:
        return 2**53
