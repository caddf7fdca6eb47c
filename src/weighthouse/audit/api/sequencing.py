"""The one sequencer on PostgreSQL gives waiting entries their index. Guards against skipped, doubled, forged rows.

One server leads by a lease with a fencing number that is checked in the transaction that writes; a row is taken only
when no older transaction can still appear, only with the code this software puts on it, and never twice.
"""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit.api import appending, growing, signing
from weighthouse.audit.events import OutboxRefused
from weighthouse.audit.model import Backlog, Leaf
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.core import canonical, jobs
from weighthouse.core import signing as codes
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.ids import new_id
from weighthouse.core.work import System, Unit, begin, read

logger = logging.getLogger("weighthouse.audit")
LEASE = "audit.sequencer"
LEASE_TTL: Millis = 10 * SECOND
_holders: WeakKeyDictionary[System, str] = WeakKeyDictionary()


def sequence(system: System, limit: int = 1000) -> int:
    """Move waiting entries into the log if this server leads; return how many. On SQLite nothing ever waits.

    Raises `core.fenced_off` or `audit.fenced_off` when another server has taken over in the meantime.
    """
    if system.database.dialect != "postgresql":
        return 0
    with read(system) as unit:
        if outbox.waiting(unit.conn)[0] == 0:
            return 0
    fencing = lead(system)
    return 0 if fencing is None else drain(system, fencing, limit)


def lead(system: System) -> int | None:
    """Take or keep the lease of the sequencer; return its fencing number, None while another server leads."""
    holder = _holders.setdefault(system, new_id("seq"))
    try:
        with begin(system, SYSTEM) as unit:
            return jobs.acquire(unit, LEASE, holder, LEASE_TTL)
    except outbox.LostRace:  # two servers made the very first lease at once, and the other one has it
        return None


def drain(system: System, fencing: int, limit: int = 1000) -> int:
    """Sequence one batch as the leader with number `fencing`; return how many entries joined the log."""
    with begin(system, SYSTEM) as unit:
        jobs.check_fencing(unit, LEASE, fencing)
        head = store.read_head(unit.conn, lock=True) or growing.EMPTY_HEAD
        growing.check_seal(system, head)
        barrier = outbox.barrier(unit.conn)
        if barrier < head.floor:
            raise growing.tampered(
                "the database counts transactions from lower than it did before, as a copy into a new cluster does; "
                "accept it with `weighthouse audit accept-fork` if you made that copy"
            )
        rows, floor = outbox.take(unit.conn, barrier, limit)
        if not rows:
            return 0
        leaves = [judge(unit, row, head) for row in rows]
        growing.extend(unit, leaves, fencing=fencing, floor=floor)
        outbox.drop(unit.conn, [row.id for row in rows])
    return len(rows)


def judge(unit: Unit, row: outbox.Waiting, head: store.HeadRow) -> tuple[Leaf, bytes]:
    """Return the row's own entry, or an entry that says why the row was kept out."""
    if not codes.equal(row.mac, signing.seal_outbox(unit.system, head.epoch, row.xid, row.leaf)):
        why = "it does not carry this software's code"
    elif row.xid < head.floor:
        why = "it is a copy of a row that is in the log already"
    else:
        said = msgspec.json.decode(row.leaf)
        del said["v"]
        return Leaf(**said), row.leaf
    logger.warning("outbox row %d was refused: %s", row.id, why)
    refusal = OutboxRefused(row=row.id, digest="sha256:" + canonical.sha256_hex(row.leaf), why=why)
    return appending.prepare(unit, refusal)


def backlog(unit: Unit) -> Backlog:
    """Return how many committed entries wait for their index, and for how long the oldest does."""
    if unit.system.database.dialect != "postgresql":
        return Backlog(0, 0)
    count, oldest = outbox.waiting(unit.conn)
    return Backlog(count, unit.now - oldest if oldest is not None else 0)
