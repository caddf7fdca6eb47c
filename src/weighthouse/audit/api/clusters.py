"""PostgreSQL: whether this is the cluster that the log's sequencer has counted in. Guards a log that was moved.

A dump that is restored into a new cluster brings the rows along, and not the count of transactions they are numbered
by: the sequencer would refuse for ever, behind changes that were answered with OK. It is noticed at start, by every
change, and by `verify`; the ceremony raises the log's epoch, after which the new cluster's count is the only one.
"""

from __future__ import annotations

from weighthouse.audit.api import growing, signing
from weighthouse.audit.model import Problem
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.core import jobs
from weighthouse.core import signing as codes
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, read

LEASE = "audit.sequencer"
MOVED = "cluster: "
_LOOKED_AT = 100


def changed() -> Unavailable:
    """The refusal to go on in a cluster whose transactions are not those that the log was counted by."""
    return Unavailable(
        "audit.cluster_changed",
        "The database counts transactions from lower than it did when this log was written, as a copy into a new "
        "cluster does, so nothing can join the log.",
        "If you made that copy, stop every server and accept it with `weighthouse audit accept-fork`; nothing is "
        "lost by it. If nobody did, find out who set the database back.",
    )


def judge(unit: Unit, head: store.HeadRow) -> int:
    """Return the number below which every transaction has ended; raise `audit.cluster_changed` if it is not ours."""
    barrier = outbox.barrier(unit.conn)
    if barrier < head.floor or not outbox.below(
        unit.conn, barrier
    ):  # what others of the cluster write holds nobody up
        barrier = max(barrier, outbox.own_barrier(unit.conn))
    if barrier < head.floor or any(genuine(unit, row, head) for row in outbox.uncounted(unit.conn, _LOOKED_AT)):
        raise changed()
    return barrier


def moved(unit: Unit, head: store.HeadRow) -> bool:
    """Whether the log was counted in another cluster."""
    try:
        judge(unit, head)
    except WeighthouseError:
        return True
    return False


def genuine(unit: Unit, row: outbox.Waiting, head: store.HeadRow) -> bool:
    """Whether this software wrote the row. Rows without a lane are of a server from before there were lanes."""
    if not row.lane:
        return codes.equal(row.mac, signing.seal_outbox(unit.system, head.epoch, row.xid, row.leaf))
    expected = signing.chain_outbox(unit.system, head.epoch, row.xid, row.lane, row.number, row.prev, row.leaf)
    return codes.equal(row.mac, expected)


def start(system: System) -> None:
    """Raise `audit.cluster_changed` or `audit.fenced_off` if no sequencer could ever go on in this database."""
    if system.database.dialect != "postgresql":
        return
    with read(system) as unit:
        head = store.read_head(unit.conn) or growing.EMPTY_HEAD
        if head != growing.EMPTY_HEAD:
            growing.check_seal(system, head)
        judge(unit, head)
        if jobs.fencing(unit, LEASE) < head.fencing:
            raise Unavailable(
                "audit.fenced_off",
                "The lease of the sequencer is older than the log it has written: somebody changed one of the two.",
                "Find out who writes the database; with every server stopped, `weighthouse audit accept-fork` sets "
                "it right.",
            )


def problems(system: System) -> list[Problem]:
    """Return what keeps every sequencer from this database, for the check of the whole log."""
    try:
        start(system)
    except WeighthouseError as error:
        if error.code in ("audit.cluster_changed", "audit.fenced_off"):
            return [Problem(-1, MOVED + error.message)]
    return []  # a broken seal is named by the check of the head
