"""The fork ceremony: accepting a log that is not the one signed last. Guards against doing so silently.

After a backup was restored, a replica without the last commits was promoted, or the database moved into a new
cluster, the signer refuses for ever. This is the only way on; it writes into the log what was remembered and what was
found, so that the loss stays on record.
"""

from __future__ import annotations

from weighthouse.audit.api import appending, clusters, growing, lanes, sequencing, servers
from weighthouse.audit.events import ClusterMoved, ForkAccepted
from weighthouse.audit.model import Leaf, Remembered
from weighthouse.audit.rules import lanes as rules
from weighthouse.audit.rules.tree import EMPTY_ROOT
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.core import jobs
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.work import System, Unit, begin


def accept_fork(system: System, actor: Caller, reason: str) -> int:
    """Accept the stored log as it is, append `audit.ForkAccepted`, replace the signer's memory; return the new size.

    A log that was moved into a new cluster with nothing missing has `audit.ClusterMoved` instead, and no doubt.

    The stored log must still be whole and signed (`audit.tampered` otherwise): the ceremony accepts a lost tail,
    never an edited entry. Witnesses keep refusing the fork until their own operators decide. Meant for the
    machine's operator at the command line, never for a route.
    """
    fencing = sequencing.lead(system, stood_down=True) if system.database.dialect == "postgresql" else 0
    if fencing is None:
        raise Unavailable(
            "audit.sequencer_elsewhere",
            "Another server sequences the log at this moment.",
            "Stop every other server first, and give its lease ten seconds to end: one signer alone accepts a fork.",
        )
    with begin(system, actor) as unit:
        head = store.read_head(unit.conn, lock=True) or growing.EMPTY_HEAD
        known = rules.Progress()
        moved = bool(fencing) and clusters.moved(unit, head)  # asked before the rows that say so are taken
        leaves, floor = _waiting(unit, head, fencing, known, moved=moved) if fencing else ([], None)
        facts = _facts(unit, head, reason, len(leaves) if moved else None, known.lost)
        leaves += [appending.prepare(unit, fact) for fact in facts]
        known.lost = 0  # what was lost is accepted as such
        servers.clear(unit, known)
        reached = known.text(unit.now) if fencing else None
        growing.extend(unit, leaves, fencing=fencing, floor=floor, accept_fork=True, lanes=reached)
        unit.after_commit(lanes.memory(system).forgive)
        unit.after_commit(lambda: sequencing.stand_again(system))
        # Witnesses still hold what they cosigned of the lost tail; here it would stand beside another history.
        gone = [size for size, _ in store.read_cosigned(unit.conn) if size > head.size]
        store.drop_cosigned(unit.conn, gone)
        if fencing:
            jobs.release(unit, sequencing.LEASE, fencing)  # the server that starts next need not wait for its end
    return head.size + len(leaves)


def _facts(unit: Unit, head: store.HeadRow, reason: str, waiting: int | None, lost: int) -> list[Event]:
    """What is accepted: that the log and `waiting` rows are counted anew, that it is not the one signed, or both."""
    facts: list[Event] = []
    if waiting is not None:
        counter = outbox.barrier(unit.conn)
        facts.append(ClusterMoved(reason=reason, floor=head.floor, counter=counter, waiting=waiting))
    whole = _continues(unit, head) and not lost and not lanes.memory(unit.system).lost()
    if facts and whole:
        return facts
    remembered = last_signed(unit.system)
    fork = ForkAccepted(
        reason=reason,
        signed_size=remembered.size,
        signed_root=remembered.root.hex(),
        found_size=head.size,
        found_root=head.root.hex(),
    )
    return [*facts, fork]


def _continues(unit: Unit, head: store.HeadRow) -> bool:
    try:
        growing.judge_memory(unit.system, unit.conn, head.size, head.root, growing.recall(unit.system))
    except WeighthouseError:
        return False
    return True


def last_signed(system: System) -> Remembered:
    """Return what the signer remembers, nothing if its memory was lost or is damaged beyond reading."""
    try:
        return growing.recall(system) or Remembered(0, EMPTY_ROOT)
    except WeighthouseError as error:
        if error.code != "audit.memory_damaged":
            raise
        return Remembered(0, EMPTY_ROOT)


def _waiting(
    unit: Unit, head: store.HeadRow, fencing: int, known: rules.Progress, *, moved: bool
) -> tuple[list[tuple[Leaf, bytes]], int]:
    """Take every waiting row, for after the ceremony rows of the old epoch are refused; return them and the floor."""
    jobs.check_fencing(unit, sequencing.LEASE, fencing)
    growing.check_seal(unit.system, head)
    before = rules.progress(head.lanes)
    known.lost, known.lanes = before.lost, dict(before.lanes)
    rows = outbox.everything(unit.conn)
    outbox.drop(unit.conn, [row.id for row in rows])
    leaves = [leaf for row in rows for leaf in sequencing.judge(unit, row, head, known, moved=moved)]
    return leaves, outbox.barrier(unit.conn)
