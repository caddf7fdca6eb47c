"""Ways and credits as this process knows them. Guards an open way from whoever can write the rows that tell of it.

A way is opened, fed and closed by one process, which therefore needs no row to know what it lent, refused and closed.
Rows are written for other readers. One that says something else was edited: the log says so once for each way, and
the row is put right. After a restart no way is open; what was lent then stands in the books (see `accounts`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.work import System, Unit
from weighthouse.egress import store
from weighthouse.egress.events import BudgetSpent, OutputSpent, TamperFound, WayClosed, WayOpened
from weighthouse.egress.model import Credit, WayRow

_MEMO = "ways of egress"
MOST_CLOSED = 5_000
_OPENED, _CLOSED = audit.Lines(WayOpened.KIND), audit.Lines(WayClosed.KIND)
_SPENT, _MUTED = audit.Lines(BudgetSpent.KIND), audit.Lines(OutputSpent.KIND)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One way, what it was lent by destination, and which refusals the log has named."""

    way: WayRow
    token_digest: str
    lent: dict[str, Credit] = {}
    marks: frozenset[str] = frozenset()
    told: bool = False


class _Ways:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[str, Known] = {}
        self.joined: OrderedDict[str, frozenset[str]] = OrderedDict()  # who pays for a run, until the log shows it


_of: WeakKeyDictionary[System, _Ways] = WeakKeyDictionary()
_making = threading.Lock()


def _ways(unit: Unit) -> _Ways:
    with _making:
        return _of.setdefault(unit.system, _Ways())


def known(unit: Unit, run: str) -> Known | None:
    """What this process and this unit know of the way of `run`; None for one that another server opened."""
    mine: dict[str, Known] = unit.memo.get(_MEMO, {})
    if run in mine:
        return mine[run]
    ways = _ways(unit)
    with ways.lock:
        return ways.known.get(run)


def run_of(unit: Unit, token_digest: str) -> str | None:
    """The run whose proxy, of this process, has that token."""
    ways = _ways(unit)
    with ways.lock:
        return next((run for run, one in ways.known.items() if one.token_digest == token_digest), None)


def keep(unit: Unit, run: str, found: Known) -> None:
    """Remember this of `run`, if this unit is committed."""
    mine = unit.memo.get(_MEMO)
    if mine is None:
        mine = unit.memo[_MEMO] = {}
        _at_commit(unit, mine)
    mine[run] = found


def _at_commit(unit: Unit, mine: dict[str, Known]) -> None:
    """Take it in before others can read the rows of this unit, and back if they never come to be."""
    ways, before = _ways(unit), dict[str, Known | None]()

    def put(found: Mapping[str, Known | None]) -> None:
        with ways.lock:
            for run, one in found.items():
                before[run] = ways.known.pop(run, None)
                if one is not None:
                    ways.known[run] = one
            closed = [run for run, one in ways.known.items() if one.way.closed]
            for run in closed[: max(0, len(closed) - MOST_CLOSED)]:
                del ways.known[run]

    unit.last_before_commit(lambda: put(mine))
    unit.when_over(lambda done: put(dict(before)) if done is False else None)


def way(unit: Unit, run: str, *, lock: bool = False) -> WayRow | None:
    """Return the way of a run, None if it has none or its row is gone, which lets nothing out; locked, if asked."""
    row, found = store.way(unit.conn, run, lock=lock), known(unit, run)
    if row is None:
        return None
    if found is None:
        return _by_log(unit, row)
    seen = _merged(found.way, row)
    if lock and (row != seen or store.credits_of(unit.conn, run) != found.lent):
        _put_right(unit, found, seen)
    return seen


def _merged(own: WayRow, row: WayRow) -> WayRow:
    """What is known, and what a row adds that only stops more."""
    return msgspec.structs.replace(
        own,
        closed=own.closed or row.closed,
        spent_at=own.spent_at or row.spent_at,
        muted_at=own.muted_at or row.muted_at,
        refused=max(own.refused, row.refused),
        connected=max(own.connected, row.connected),
    )


def _put_right(unit: Unit, found: Known, seen: WayRow) -> None:
    store.put_way(unit.conn, seen, found.token_digest)
    store.drop_credits(unit.conn, seen.run)
    for credit in found.lent.values():
        store.keep_credit(unit.conn, credit)
    if not found.told:
        keep(unit, seen.run, msgspec.structs.replace(found, told=True))
        audit.append(unit, TamperFound(what=seen.run, code="egress.way_row"))


def _by_log(unit: Unit, row: WayRow) -> WayRow:
    """A way that another process opened: what it may and whether it is over is read from the log as well."""
    opened = _OPENED.newest(unit, row.run)
    if opened is None:
        return row
    said, stops = opened.data, [one.newest(unit, row.run) for one in (_CLOSED, _SPENT, _MUTED)]
    closed, spent, muted = (one.at if one else None for one in stops)
    return msgspec.structs.replace(
        row,
        profile=str(said["profile"]),
        model=str(said["model"]),
        leads=" ".join(said["destinations"]),
        closed=row.closed or closed,
        spent_at=row.spent_at or spent,
        muted_at=row.muted_at or muted,
    )


def opened(unit: Unit, way: WayRow, token_digest: str) -> None:
    """Keep a way that was just opened."""
    store.add_way(unit.conn, way, token_digest)
    keep(unit, way.run, Known(way=way, token_digest=token_digest))


def speaks(unit: Unit, run: str, person: str) -> WayRow | None:
    """Return who a run speaks as, even if the row of its way is gone; None while it never had a way."""
    found, own = way(unit, run, lock=True), known(unit, run)
    if found is not None:
        return found
    if own is not None:
        return own.way
    line = _OPENED.newest(unit, run)
    if line is None:
        return None
    return WayRow(
        run=run, profile=str(line.data["profile"]), model=str(line.data["model"]), person=person, opened=line.at
    )


def joined(unit: Unit, run: str) -> frozenset[str]:
    """The models that this process, or this unit, has had join those which pay for a run."""
    ways = _ways(unit)
    mine: frozenset[str] = unit.memo.get((_MEMO, run), frozenset())
    with ways.lock:
        return ways.joined.get(run, frozenset()) | mine


def join(unit: Unit, run: str, model: str) -> None:
    """Remember that a model has joined, if this unit is committed."""
    unit.memo[_MEMO, run] = unit.memo.get((_MEMO, run), frozenset()) | {model}
    ways, before = _ways(unit), list[frozenset[str]]()

    def keep() -> None:
        with ways.lock:
            before.append(ways.joined.get(run, frozenset()))
            ways.joined[run] = before[0] | {model}
            if len(ways.joined) > MOST_CLOSED:
                ways.joined.popitem(last=False)

    def over(done: bool | None) -> None:
        if done is False and before:
            with ways.lock:
                ways.joined[run] = before[0]

    unit.last_before_commit(keep)
    unit.when_over(over)


def credits_of(unit: Unit, run: str) -> dict[str, Credit]:
    """Return what was lent to a run, by destination."""
    found = known(unit, run)
    return dict(found.lent) if found else store.credits_of(unit.conn, run)


def keep_credit(unit: Unit, credit: Credit) -> None:
    """Insert or replace what was lent for one destination."""
    store.keep_credit(unit.conn, credit)
    found = known(unit, credit.run)
    if found is not None:
        keep(unit, credit.run, msgspec.structs.replace(found, lent={**found.lent, credit.destination: credit}))


def _change(unit: Unit, run: str, **fields: int) -> None:
    found = known(unit, run)
    if found is not None:
        keep(unit, run, msgspec.structs.replace(found, way=msgspec.structs.replace(found.way, **fields)))


def count_refusal(unit: Unit, way: WayRow) -> None:
    store.count_refusal(unit.conn, way.run)
    _change(unit, way.run, refused=way.refused + 1)


def count_connection(unit: Unit, way: WayRow) -> None:
    store.count_connection(unit.conn, way.run)
    _change(unit, way.run, connected=way.connected + 1)


def is_new_refusal(unit: Unit, run: str, mark: str, most: int) -> bool:
    """Remember that a run was refused what `mark` stands for; return whether the log should name it still."""
    found = known(unit, run)
    if found is None:
        return store.is_new_refusal(unit.conn, run, mark, most)
    if mark in found.marks or len(found.marks) >= most:
        return False
    keep(unit, run, msgspec.structs.replace(found, marks=found.marks | {mark}))
    return True


def mark_spent(unit: Unit, way: WayRow) -> bool:
    """Remember that the budget of a way is spent; return whether this was the first time."""
    first = store.mark_spent(unit.conn, way.run, unit.now)
    _change(unit, way.run, spent_at=way.spent_at or unit.now)
    return first and way.spent_at is None


def mark_muted(unit: Unit, run: str) -> None:
    store.mark_muted(unit.conn, run, unit.now)
    _change(unit, run, muted_at=unit.now)


def mark_closed(unit: Unit, run: str) -> bool:
    """Close a way; return whether it was open, whatever its row says."""
    found = known(unit, run)
    was = store.mark_closed(unit.conn, run, unit.now)
    if found is None:
        return was or (_OPENED.any(unit, run) and not _CLOSED.any(unit, run))
    _change(unit, run, closed=found.way.closed or unit.now)
    return found.way.closed is None
