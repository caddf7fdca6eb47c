"""Asking witnesses in other trust domains to cosign. Guards history from whoever holds the log's key.

Each round sends the newest checkpoint with a proof from what the witness saw last. A refusal because the histories
differ is written into the log and shouted about; a witness that is merely away is asked again next round.
"""

from __future__ import annotations

import logging

from weighthouse.audit.api import signing
from weighthouse.audit.api.appending import append
from weighthouse.audit.api.proving import consistency
from weighthouse.audit.events import WitnessRefused
from weighthouse.audit.model import Witnessed
from weighthouse.audit.ports import Witness, Witnesses
from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import witnessing as protocol
from weighthouse.audit.rules.checkpoint import parse_decimal
from weighthouse.audit.rules.note import Note, Signature
from weighthouse.audit.store import log as store
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, begin, read

logger = logging.getLogger("weighthouse.audit")


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
        answer, signatures = _ask(system, witness, note, head.size)
        answers.append(answer)
        gathered.extend(signatures)
    if gathered:
        with begin(system, SYSTEM) as unit:
            kept = store.read_cosigned(unit.conn, head.size)
            base = notes.parse(kept[1].encode()) if kept else note
            store.keep_cosigned(unit.conn, head.size, str(base.with_signatures(gathered)), unit.now)
    return answers


def _ask(system: System, witness: Witness, note: Note, size: int) -> tuple[Witnessed, tuple[Signature, ...]]:
    key = notes.parse_key(witness.key)
    old = 0
    status = 0
    try:
        for _ in range(3):  # the first answer tells where the witness stands; another log process may be asking too
            with read(system) as unit:
                proof = consistency(unit, old, size)
            status, body = witness.add_checkpoint(protocol.format_submission(old, proof, str(note)))
            if status == 200:
                signatures = protocol.read_cosignatures(body, note, key)
                return Witnessed(witness.name, size, True, "cosigned"), signatures
            if status != 409:
                break
            old = parse_decimal(body.decode("ascii", "replace").strip(), "The witness's size")
            if old > size:
                break
    except (OSError, WeighthouseError) as error:
        logger.warning("witness %s gave no cosignature: %s", witness.name, error)
        return Witnessed(witness.name, size, False, str(error)), ()
    if status == 422 or old > size:
        _refused(system, witness, status, max(old, size))
        return Witnessed(witness.name, size, False, f"refused: it saw another history up to {old}"), ()
    logger.warning("witness %s answered %d", witness.name, status)
    return Witnessed(witness.name, size, False, f"answered {status}"), ()


def _refused(system: System, witness: Witness, status: int, size: int) -> None:
    logger.critical("witness %s has seen a log of %d entries that this one does not continue", witness.name, size)
    with begin(system, SYSTEM) as unit:
        append(unit, WitnessRefused(witness=witness.name, status=status, size=size))
