"""The fork ceremony: accepting a log that is not the one signed last. Guards against doing so silently.

After a backup was restored or a replica without the last commits was promoted, the signer refuses for ever. This is
the only way on; it writes into the log what was remembered and what was found, so that the loss stays on record.
"""

from __future__ import annotations

from weighthouse.audit.api import appending, growing, lanes, sequencing
from weighthouse.audit.events import ForkAccepted
from weighthouse.audit.model import Leaf, Remembered
from weighthouse.audit.rules import lanes as rules
from weighthouse.audit.rules.tree import EMPTY_ROOT, MAX_SIZE
from weighthouse.audit.store import log as store
from weighthouse.audit.store import outbox
from weighthouse.core import jobs
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, begin


def accept_fork(system: System, actor: Caller, reason: str) -> int:
    """Accept the stored log as it is, append `audit.ForkAccepted`, replace the signer's memory; return the new size.

    The stored log must still be whole and signed (`audit.tampered` otherwise): the ceremony accepts a lost tail,
    never an edited entry. Witnesses keep refusing the fork until their own operators decide. Meant for the
    machine's operator at the command line, never for a route.
    """
    fencing = sequencing.lead(system, stood_down=True) if system.database.dialect == "postgresql" else 0
    if fencing is None:
        raise Unavailable(
            "audit.sequencer_elsewhere",
            "Another server sequences the log at this moment.",
            "Stop every other server first; a fork is accepted by one signer alone.",
        )
    with begin(system, actor) as unit:
        head = store.read_head(unit.conn, lock=True) or growing.EMPTY_HEAD
        remembered = last_signed(system)
        known = rules.Progress()
        leaves, floor = _waiting(unit, head, fencing, known) if fencing else ([], None)
        known.lost = 0  # what was lost is accepted as such
        fact = ForkAccepted(
            reason=reason,
            signed_size=remembered.size,
            signed_root=remembered.root.hex(),
            found_size=head.size,
            found_root=head.root.hex(),
        )
        leaves.append(appending.prepare(unit, fact))
        reached = known.text(unit.now) if fencing else None
        growing.extend(unit, leaves, fencing=fencing, floor=floor, accept_fork=True, lanes=reached)
        unit.after_commit(lanes.memory(system).forgive)
        unit.after_commit(lambda: sequencing.stand_again(system))
        # Witnesses still hold what they cosigned of the lost tail; here it would stand beside another history.
        gone = [size for size, _ in store.read_cosigned(unit.conn) if size > head.size]
        store.drop_cosigned(unit.conn, gone)
    return head.size + len(leaves)


def last_signed(system: System) -> Remembered:
    """Return what the signer remembers, nothing if its memory was lost or is damaged beyond reading."""
    try:
        return growing.recall(system) or Remembered(0, EMPTY_ROOT)
    except WeighthouseError as error:
        if error.code != "audit.memory_damaged":
            raise
        return Remembered(0, EMPTY_ROOT)


def _waiting(
    unit: Unit, head: store.HeadRow, fencing: int, known: rules.Progress
) -> tuple[list[tuple[Leaf, bytes]], int]:
    """Take every waiting row, for after the ceremony rows of the old epoch are refused; return them and the floor."""
    jobs.check_fencing(unit, sequencing.LEASE, fencing)
    growing.check_seal(unit.system, head)
    known.lanes.update(rules.progress(head.lanes).lanes)
    rows, _ = outbox.take(unit.conn, MAX_SIZE, MAX_SIZE)
    outbox.drop(unit.conn, [row.id for row in rows])
    return [leaf for row in rows for leaf in sequencing.judge(unit, row, head, known)], outbox.barrier(unit.conn)
