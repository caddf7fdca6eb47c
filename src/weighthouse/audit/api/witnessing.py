"""Asking witnesses in other trust domains to cosign. Guards history from whoever holds the log's key.

Each round sends the newest checkpoint with a proof from what the witness saw last. A refusal because the histories
differ is written into the log and shouted about; a witness that is merely away is asked again next round.
"""

from __future__ import annotations

import logging

from weighthouse.audit.api import cosigning, doubting, signing
from weighthouse.audit.api.appending import append
from weighthouse.audit.api.finding import Lines
from weighthouse.audit.api.proving import consistency
from weighthouse.audit.events import WitnessRefused
from weighthouse.audit.model import Doubt, Witnessed
from weighthouse.audit.ports import Witness, Witnesses
from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import witnessing as protocol
from weighthouse.audit.rules.checkpoint import parse_decimal
from weighthouse.audit.rules.note import Note, Signature
from weighthouse.audit.store import log as store
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, Millis
from weighthouse.core.errors import Invalid, WeighthouseError
from weighthouse.core.work import System, begin, read

logger = logging.getLogger("weighthouse.audit")


_REFUSED = Lines(WitnessRefused.KIND)
_LARGEST = 2**53 - 1  # beyond it our own documents hold no number
AGAIN: Millis = HOUR
"""How long a witness's lasting refusal is only shouted about before it is written into the log again."""


def ask_witnesses(system: System) -> list[Witnessed]:
    """Have the newest checkpoint cosigned by every witness that will; keep it with what they signed."""
    witnesses = system.part(Witnesses).all()
    with read(system) as unit:
        head = store.read_head(unit.conn)
    if not witnesses or head is None:
        return []
    note = notes.parse(head.note.encode())
    signing.open_own_checkpoint(system, head.note)
    answers: list[Witnessed] = []
    gathered: list[Signature] = []
    for witness in witnesses:
        answer, signatures = _judged_alone(system, witness, note, head.size)
        if answer.cosigned:
            doubting.withdraw(system, f"witness {witness.name}")
        answers.append(answer)
        gathered.extend(signatures)
    if gathered:
        with begin(system, SYSTEM) as unit:
            store.read_head(unit.conn, lock=True)  # two processes that gather at once must not lose a cosignature
            cosigning.keep(unit, head.size, note, gathered)
    return answers


def _judged_alone(system: System, witness: Witness, note: Note, size: int) -> tuple[Witnessed, tuple[Signature, ...]]:
    """Ask one witness; whatever it answers, the others are asked too, and what they say counts."""
    try:
        return _ask(system, witness, note, size)
    except WeighthouseError as error:
        logger.warning("witness %s could not be judged: %s (%s)", witness.name, error.message, error.code)
        return Witnessed(witness.name, size, False, error.message), ()


def _ask(system: System, witness: Witness, note: Note, size: int) -> tuple[Witnessed, tuple[Signature, ...]]:
    key = notes.parse_key(witness.key)
    old, status = 0, 0
    for _ in range(3):  # the first answer tells where the witness stands; another log process may be asking too
        with read(system) as unit:
            proof = consistency(unit, old, size)
        try:
            status, body = witness.add_checkpoint(protocol.format_submission(old, proof, str(note)))
            if status == 200:
                signatures = protocol.read_cosignatures(body, note, key)
                return Witnessed(witness.name, size, True, "cosigned"), signatures
            stated = parse_decimal(body.decode("ascii", "replace").strip(), "Its size") if status == 409 else old
            if stated > _LARGEST:
                raise Invalid("audit.malformed", "It states a size that no log has.", "Ask its operator.")
        except (OSError, WeighthouseError) as error:
            logger.warning("witness %s gave no cosignature: %s", witness.name, error)
            return Witnessed(witness.name, size, False, str(error)), ()
        # In earlier drafts of the protocol 409 also meant another root at the very size that was stated.
        if status == 422 or stated > size or (status == 409 and stated == old > 0):
            return _another_history(system, witness, status, stated, size), ()
        if status != 409 or stated == old:
            break
        old = stated
    logger.warning("witness %s answered %d", witness.name, status)
    return Witnessed(witness.name, size, False, f"answered {status}"), ()


def _another_history(system: System, witness: Witness, status: int, seen: int, size: int) -> Witnessed:
    """Put on record that a witness saw a history up to `seen` which this log's `size` entries do not continue."""
    with read(system) as unit:
        head = store.read_head(unit.conn)
    if seen > size and head is not None and head.size >= seen:  # another process of this log was faster
        return Witnessed(witness.name, size, False, f"it has cosigned {seen} already; asked again next round")
    # Where the witness stands does not move while it refuses, so that what people have looked at stays settled; if
    # it moves, another log goes on somewhere, which is another doubt.
    detail = f"witness {witness.name} has seen a log of {seen} entries that this one does not continue"
    doubting.state(system, Doubt(f"witness {witness.name}", str(seen), detail))
    _refused(system, witness, status, max(seen, size))  # after the doubt: a line that cannot be written hides none
    return Witnessed(witness.name, size, False, f"refused: it saw another history up to {seen}")


def _refused(system: System, witness: Witness, status: int, size: int) -> None:
    logger.critical("witness %s has seen a log of %d entries that this one does not continue", witness.name, size)
    with begin(system, SYSTEM) as unit:
        said = _REFUSED.newest(unit, witness.name)
        if said is None or unit.now - said.at >= AGAIN:
            append(unit, WitnessRefused(witness=witness.name, status=status, size=size))
