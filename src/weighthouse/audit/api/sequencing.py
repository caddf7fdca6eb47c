"""The one sequencer on PostgreSQL gives waiting entries their index. Guards against skipped, doubled, forged rows.

One server leads by a lease with a fencing number that is checked in the transaction that writes; a row is taken only
when no older transaction can still appear, only with the code this software puts on it, and never twice. The lease is
renewed by progress alone, so that a server that stands still, or may not sign, makes room for another.
"""

from __future__ import annotations

import contextlib
import logging
import time
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit.api import appending, clusters, growing
from weighthouse.audit.api.waiting import watch
from weighthouse.audit.events import LinesLost, OutboxRefused
from weighthouse.audit.model import Backlog, Gap, Leaf
from weighthouse.audit.rules import lanes as rules
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.core import canonical, jobs
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import System, Unit, begin, read

logger = logging.getLogger("weighthouse.audit")
LEASE = clusters.LEASE
LEASE_TTL: Millis = 10 * SECOND
STAND_DOWN_S = 15.0
_holders: WeakKeyDictionary[System, str] = WeakKeyDictionary()
_moved: WeakKeyDictionary[System, bool] = WeakKeyDictionary()
_away_until: WeakKeyDictionary[System, float] = WeakKeyDictionary()


def sequence(system: System, limit: int = 1000) -> int:
    """Move waiting entries into the log if this server leads; return how many. On SQLite nothing ever waits.

    Raises `core.fenced_off` or `audit.fenced_off` when another server has taken over in the meantime.
    """
    if system.database.dialect != "postgresql":
        return 0
    with read(system) as unit:
        if outbox.waiting(unit.conn, 1) == 0:
            return 0
    fencing = lead(system)
    if fencing is None:
        return 0
    try:
        moved = drain(system, fencing, limit)
    except WeighthouseError:
        _stand_down(system, fencing)
        raise
    _moved[system] = bool(moved)
    return moved


def _stand_down(system: System, fencing: int) -> None:
    """Give the lease up, and ask for none for a while: a server that may not sign must not keep another from it."""
    _away_until[system] = time.monotonic() + STAND_DOWN_S
    with contextlib.suppress(WeighthouseError), begin(system, SYSTEM) as unit:
        jobs.release(unit, LEASE, fencing)


def stand_again(system: System) -> None:
    """Let this server ask for the lease again: what made it stand down was set right."""
    _away_until.pop(system, None)


def lead(system: System, *, stood_down: bool = False) -> int | None:
    """Take or keep the lease of the sequencer; return its fencing number, None while another server leads.

    With `stood_down`, also where this server has just given it up: for the ceremony, which sets right why it did.
    """
    holder = _holders.setdefault(system, new_id("seq"))
    if not stood_down and time.monotonic() < _away_until.get(system, 0.0):
        return None
    try:
        with begin(system, SYSTEM) as unit:
            return jobs.acquire(unit, LEASE, holder, LEASE_TTL, renew=_moved.get(system, True))
    except outbox.LostRace:  # two servers made the very first lease at once, and the other one has it
        return None


def drain(system: System, fencing: int, limit: int = 1000) -> int:
    """Sequence one batch as the leader with number `fencing`; return how many entries joined the log."""
    with begin(system, SYSTEM) as unit:
        jobs.check_fencing(unit, LEASE, fencing)
        head = store.read_head(unit.conn, lock=True) or growing.EMPTY_HEAD
        growing.check_seal(system, head)
        barrier = clusters.judge(unit, head)
        rows, floor = outbox.take(unit.conn, barrier, limit)
        if not rows:
            return 0
        known = rules.progress(head.lanes)
        leaves = [leaf for row in rows for leaf in judge(unit, row, head, known)]
        growing.extend(unit, leaves, fencing=fencing, floor=floor, lanes=known.text(unit.now))
        outbox.drop(unit.conn, [row.id for row in rows])
    return len(rows)


def judge(
    unit: Unit, row: outbox.Waiting, head: store.HeadRow, known: rules.Progress, *, moved: bool = False
) -> list[tuple[Leaf, bytes]]:
    """Return the row's own entry, or one that says why it was kept out; before it, what is missing of its lane.

    With `moved`, the floor is of another cluster's count. What was written here is then told from a copy by its lane
    alone, which is remembered for longer than such a row may be old.
    """
    if not clusters.genuine(unit, row, head):
        return [_kept_out(unit, row, "it does not carry this software's code")]
    said = msgspec.json.decode(row.leaf)
    del said["v"]
    leaf = (Leaf(**said), row.leaf)
    fresh = moved and row.lane and leaf[0].at > unit.now - rules.TOLD
    gap = rules.follow(known, row.lane, row.number, row.prev, row.mac, unit.now) if row.lane else None
    if gap is False or (row.xid < head.floor and not fresh):
        return [_kept_out(unit, row, "it is a copy of a row that is in the log already")]
    if isinstance(gap, Gap):
        logger.critical("rows %d to %d of %s are missing before outbox row %d", gap.first, gap.last, gap.lane, row.id)
        return [appending.prepare(unit, LinesLost(lane=gap.lane, first=gap.first, last=gap.last)), leaf]
    if leaf[0].kind == LinesLost.KIND:  # another server missed them first
        known.lost += int(leaf[0].data["last"]) - int(leaf[0].data["first"]) + 1
    return [leaf]


def _kept_out(unit: Unit, row: outbox.Waiting, why: str) -> tuple[Leaf, bytes]:
    logger.warning("outbox row %d was refused: %s", row.id, why)
    refusal = OutboxRefused(row=row.id, digest="sha256:" + canonical.sha256_hex(row.leaf), why=why)
    return appending.prepare(unit, refusal)


def backlog(unit: Unit) -> Backlog:
    """Return how many committed entries wait for their index, and for how long the oldest does."""
    if unit.system.database.dialect != "postgresql":
        return Backlog(0, 0)
    return Backlog(*watch(unit.system).look(unit))
