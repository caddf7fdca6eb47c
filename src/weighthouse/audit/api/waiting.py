"""For how long lines have waited for the sequencer, by what this process has seen. Guards freshness.

Attack: stall the sequencer with a row lock and write later times beside the rows that wait, so that the log looks on
time; then use, at another server, what the first one has revoked. So a line waits since the time in its own bytes and
at least since this process first saw it in its lane, by a clock that no database knows; taking it out of sight for a
moment does not make it new. A log whose head does not grow is as old as it looks.

Attack: put rows in front of each lane, or write another transaction's number into a row, so that the sequencer never
takes it and nobody waits for it. So only rows with this software's code are lines; any other counts together with all
of its kind, however often it is replaced, and what this process has committed itself is due whatever the rows say.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit.api import clusters, growing, lanes
from weighthouse.audit.rules import lanes as rules
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
LOOKED_AT = 200
"""How many rows are judged from either end of the outbox: a flood of forged ones costs no more than a few do."""
_MET_KEPT, _TAKEN = 10_000, -1


class _Sight(msgspec.Struct):
    """When something was seen first and last, and the time that it names itself."""

    first: Millis
    last: Millis
    named: Millis = 2**53


class Watch:
    """What one process has seen of the outbox and of the head, by its monotonic clock."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], _Sight] = {}
        self._foreign: _Sight | None = None
        self._size, self._grown = -1, 0
        self._lock = threading.Lock()

    def look(self, unit: Unit) -> tuple[int, Millis]:
        """Return how many rows wait, and for how long the oldest has, 0 if none."""
        now, known = unit.system.clock.monotonic(), lanes.known(unit)
        head = store.read_head(unit.conn) or growing.EMPTY_HEAD
        rows = outbox.ends(unit.conn, LOOKED_AT)
        count = outbox.waiting(unit.conn, unit.system.settings.integer("log.backlog") + 1) if rows else 0
        lines = {id(row): row for row in rows if _is_line(unit, row, head, known)}
        with self._lock:
            self._see(list(lines.values()), now)
            self._forget(known, now)
            self._see_foreign(any(id(row) not in lines for row in rows), now)
            ages = [max(now - one.first, unit.now - one.named) for one in self._lines.values()]
            return count, max(*ages, self._foreign_for(), lanes.unsequenced(unit, known), 0)

    def _see(self, lines: list[outbox.Waiting], now: Millis) -> None:
        """Meet the first line of each lane; those behind it are younger."""
        for row in _fronts(lines):
            sight = self._lines.setdefault((row.lane, row.number if row.lane else row.id), _Sight(now, now))
            sight.last, sight.named = now, min(sight.named, _named(row))

    def _forget(self, known: rules.Progress, now: Millis) -> None:
        for (lane, number), sight in list(self._lines.items()):
            if (sight.last < now and not lane) or known.reached(lane) >= number or now - sight.last > GONE:
                del self._lines[lane, number]

    def _see_foreign(self, any_there: bool, now: Millis) -> None:
        if self._foreign is not None and now - self._foreign.last > GONE and not any_there:
            self._foreign = None
        if any_there:
            self._foreign = self._foreign or _Sight(now, now)
            self._foreign.last = now

    def _foreign_for(self) -> Millis:
        return self._foreign.last - self._foreign.first if self._foreign else 0

    def foreign(self) -> Millis:
        """Return for how long rows have been met that are no lines of this log, one after another; 0 if none are."""
        with self._lock:
            return self._foreign_for()

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


def _is_line(unit: Unit, row: outbox.Waiting, head: store.HeadRow, known: rules.Progress) -> bool:
    """Whether the sequencer will take this row: it carries this software's code, and its number is not used yet."""
    taken = row.number <= known.reached(row.lane) if row.lane else row.xid < head.floor
    return not taken and clusters.genuine(unit, row, head)


def _fronts(lines: list[outbox.Waiting]) -> Iterator[outbox.Waiting]:
    """The first line of each lane, and each line of before there were lanes."""
    first: dict[str, outbox.Waiting] = {}
    for row in lines:
        if not row.lane:
            yield row
        elif row.lane not in first or row.number < first[row.lane].number:
            first[row.lane] = row
    yield from first.values()


def _named(row: outbox.Waiting) -> Millis:
    try:
        return leaves.parse(row.leaf).at
    except Invalid:
        return 2**53
