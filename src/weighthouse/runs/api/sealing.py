"""Whether a row is the one that this server wrote. Guards decisions, and words of the log, from an edited row.

A seal covers the order and whoever it is for. What else a row says beside it (the model, the order's digest) has to
agree with the order, and what is written later (why it was asked to stop, which processes are its own) has a seal of
its own, bound to the run. A row that cannot be read is not believed either, and takes nobody else with it.
"""

from __future__ import annotations

import msgspec

from weighthouse.core import canonical
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.core.signing import Signers, equal
from weighthouse.core.work import Unit
from weighthouse.runs import store
from weighthouse.runs.model import GONE, UNTRUE, Order, Run, Ticket

_CODE = 64  # a code as it is written, in hexadecimal digits


def digest_of(order: Order) -> str:
    """Return the name of an order: the digest over all of it."""
    return canonical.digest(msgspec.to_builtins(order))


def seal(unit: Unit, ticket: Ticket) -> bytes:
    """Return the code that binds every field the runner acts on. Form 1 came without accounts and is never made."""
    fields = msgspec.to_builtins(ticket)
    if not ticket.account:
        del fields["account"]
    body = canonical.encode({"type": f"weighthouse/run/{2 if ticket.account else 1}", **fields})
    return unit.part(Signers).mac("workload", body)


def believed(unit: Unit, kept: store.Kept | None) -> Run | None:
    """Return what a row tells, None where there is none or it is not the one that was submitted."""
    if kept is None or kept.run is None or kept.ticket is None:
        return None
    run, order = kept.run, kept.ticket.order
    try:
        if not equal(kept.seal, seal(unit, kept.ticket)):
            return None
        return run if (run.model, run.order_digest) == (order.model, digest_of(order)) else None
    except WeighthouseError:  # what nobody can seal was never sealed
        return None


def ticket_of(unit: Unit, run: str) -> Ticket | None:
    """Return what was submitted as this run, None where its row is gone or not believed."""
    kept = store.find(unit.conn, run)
    return kept.ticket if kept is not None and believed(unit, kept) is not None else None


def untrue() -> Denied:
    """The refusal of a run whose row is not believed."""
    return Denied(
        UNTRUE,
        "The stored order is not the one that was submitted.",
        "Find out who writes the database; submit it again. The log tells what was submitted.",
    )


def sealed_stop(unit: Unit, run: str, code: str, by: str, text: str) -> str:
    """Return the words of a stop as its row keeps them, with the code that binds all of it to the run."""
    return f"{_stop_code(unit, run, code, by, text)} {text}"


def stop_of(unit: Unit, run: str) -> tuple[str, str, str]:
    """Return (code, by, text) of what asked a run to stop; empty texts when nothing did.

    A stop that this server did not write stops as well, and is told as what it is: nobody is said to have asked.
    """
    code, by, kept = store.stop_of(unit.conn, run)
    if code in ("", GONE):
        return code, by, ""
    said, text = kept[:_CODE], kept[_CODE + 1 :]
    try:
        true = equal(said.encode(), _stop_code(unit, run, code, by, text).encode())
    except (WeighthouseError, ValueError):
        true = False
    return (code, by, text) if true else (UNTRUE, "system", "")


def sealed_marks(unit: Unit, run: str, marks: str) -> str:
    """Return the marks of a run's processes as its row keeps them."""
    return f"{marks} {_code(unit, 'marks', run, marks)}"


def marks_of(unit: Unit, run: str, kept: str) -> str:
    """Return the marks that this server has sealed for a run, empty where it did not: whose processes are those?"""
    marks, _, said = kept.rpartition(" ")
    try:
        return marks if equal(said.encode(), _code(unit, "marks", run, marks).encode()) else ""
    except (WeighthouseError, ValueError):
        return ""


def _stop_code(unit: Unit, run: str, code: str, by: str, text: str) -> str:
    return _code(unit, "stop", run, code, by, text)


def _code(unit: Unit, kind: str, *said: str) -> str:
    body = canonical.encode({"type": f"weighthouse/run-{kind}/1", "said": list(said)})
    return unit.part(Signers).mac("workload", body).hex()[:_CODE]
