"""What the runner of this room does to a run's record. Guards each step: claimed once, verified whole, ended once."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Sequence
from typing import NamedTuple

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.work import Unit
from weighthouse.egress import api as egress
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.runs import store
from weighthouse.runs.api import lasting, references
from weighthouse.runs.api.sealing import marks_of, sealed_marks, stop_of, ticket_of, untrue
from weighthouse.runs.api.telling import end_of, model_of
from weighthouse.runs.events import (
    RefusedOften,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    Unsandboxed,
    VolumeFilled,
)
from weighthouse.runs.model import UNTRUE, Facts, Line, State, Ticket
from weighthouse.runs.ports import Sandbox, Tokens
from weighthouse.runs.rules.states import enough, outcome

END_BYTES = 8  # what a run tells by how it ends and when: status, duration, number of refusals and connections
LINE_BYTES = 4  # what a line tells by its stream and its time, though it were empty


class Waiting(NamedTuple):
    """The `first` run that waits with the environment of its model, and rows before it that are `untrue`."""

    first: tuple[str, str] | None
    untrue: list[str]


def waiting(unit: Unit, going: Container[str]) -> Waiting:
    """Return which run has waited longest, by orders that this server sealed. One that is `going` waits for nothing,
    whatever its row says."""
    bad: list[str] = []
    for run in store.queued(unit.conn):
        if run in going:
            continue
        ticket = ticket_of(unit, run)
        if ticket is not None:
            listed = policy.current(unit).lab.resources.get(ticket.order.model)
            return Waiting((run, listed.environment if listed is not None and listed.environment else ""), bad)
        bad.append(run)
    return Waiting(None, bad)


def refuse(unit: Unit, run: str) -> bool:
    """End a run that waits under a row that is not believed; return whether it was one, and waited."""
    if ticket_of(unit, run) is not None or not claim(unit, run, ""):
        return False
    end(unit, run, exit_status=None, failure=UNTRUE, sent_bytes=0)
    return True


def any_begun(unit: Unit) -> bool:
    """Return whether any run has ever begun in this state folder, so that something of it may lie in memory."""
    return store.any_begun(unit.conn)


def claim(unit: Unit, run: str, process: str) -> bool:
    """Take one waiting run for the runner that `process` marks; return whether it still waited."""
    return store.change(unit.conn, run, expect=("queued",), state="preparing", process=process)


def put_back(unit: Unit, run: str) -> None:
    """Let a run wait again that was claimed and could not even be begun."""
    store.change(unit.conn, run, expect=("preparing",), state="queued", process="")


def admit(unit: Unit, run: str, sandbox: Sandbox) -> Ticket:
    """Verify everything a run rests on, at the moment it would start, and give it an identity of its own.

    Raises `runs.row_seal` for a row that this server did not write, `runs.lost_access` when the grant or the person
    is no longer there, `runs.sandbox_too_weak`, `runs.no_sandbox`, and what was refused of anything the order names.
    """
    ticket = ticket_of(unit, run)
    if ticket is None:
        raise untrue()
    if ticket.grant is not None:
        access.valid_grant(unit, ticket.grant)
    code = lasting.lost(unit, ticket)
    if code:
        raise Denied(
            code, "What the run was submitted under has ended before it began.", "Look who ended it, and why."
        )
    theirs = identity.account_holds(unit, ticket.owner, ticket.account)
    if not theirs or not identity.is_active(unit, ticket.owner) or unit.now >= ticket.must_end:
        raise Denied("runs.lost_access", "What the run was submitted under has ended.", "Ask for access again.")
    if not enough(sandbox.tier, ticket.tier) and sandbox.tier != "none":
        raise Denied("runs.sandbox_too_weak", f"This machine has only {sandbox.tier}.", "Build runsc.")
    attributes = references.attributes_of(unit, ticket, sandbox.tier)
    token = identity.issue_workload(unit, run=run, attributes=attributes, expires=ticket.must_end)
    unit.after_commit(lambda: unit.part(Tokens).keep(run, token))
    return ticket


def pay_end(unit: Unit, ticket: Ticket) -> None:
    """Charge a run, before its code starts, for what its end will tell: many short runs would spell as output does.

    Raises TooMany `egress.said_spent`.
    """
    egress.charge_step(unit, ticket.run, END_BYTES, model=ticket.order.model, person=ticket.owner)


def started(unit: Unit, run: str, facts: Facts, proxy_digest: str, process: str) -> None:
    """Record what the run is really executed in."""
    values = {
        "state": "running",
        "started": unit.now,
        "facts": msgspec.json.encode(facts).decode(),
        "process": sealed_marks(unit, run, process),
    }
    store.change(unit.conn, run, expect=("preparing",), **values)
    if facts.tier == "none":
        audit.append(unit, Unsandboxed(run=run))
    fact = RunStarted(
        run=run,
        runtime=facts.runtime,
        tier=facts.tier,
        runtime_digest=facts.digest,
        kernel=facts.kernel,
        kernel_version=facts.kernel_version,
        specification=facts.specification,
        proxy_digest=proxy_digest,
    )
    audit.append(unit, fact)


def keep_lines(unit: Unit, run: str, lines: Sequence[Line]) -> None:
    """Append words of the control plane to the run's log."""
    store.add_lines(unit.conn, run, unit.now, lines)


def keep_output(unit: Unit, run: str, lines: Sequence[Line]) -> bool:
    """Append what the workload wrote to the run's log; return whether its model's byte budget still paid for it."""
    said = sum(len(line.text.encode("utf-8", "replace")) + LINE_BYTES for line in lines if line.stream != "lab")
    paid = not said or egress.charge_output(unit, run, said)
    full = Line("lab", "output is kept no longer: its bytes count too, and the model's or the lab's budget is spent")
    store.add_lines(unit.conn, run, unit.now, lines if paid else [full])
    return paid


def volume_filled(unit: Unit, ticket: Ticket, size: int) -> None:
    """Put on record, and tell the run, that it has filled the place that it may write to."""
    line = VolumeFilled(run=ticket.run, model=ticket.order.model, code="runs.volume_full", size_bytes=size)
    audit.append(unit, line)
    full = "/out is full (runs.out_mib, runs.out_files); remove what has been saved"
    keep_lines(unit, ticket.run, [Line("lab", full)])


def stop_asked(unit: Unit, run: str) -> str:
    """Return the code of what asked the run to stop, empty if nothing did."""
    return stop_of(unit, run)[0]


def end(
    unit: Unit,
    run: str,
    *,
    exit_status: int | None,
    failure: str,
    sent_bytes: int,
    out_of_time: bool = False,
    lost: str = "",
    refused: int = 0,
) -> State:
    """End a run's record and its identity once, and append the one fact that tells how it ended.

    `lost` is the code of what the run no longer rests on, where its row says nothing of a stop; `refused` how often
    it was refused, where that was too often: one line sums up what was named no more.
    """
    unit.part(Tokens).drop(run)
    with contextlib.suppress(WeighthouseError):
        identity.end_workload(unit, run)
    store.find(unit.conn, run, lock=True)
    asked, by, text = stop_of(unit, run)
    if lost and not asked:
        asked, by = lost, "system"
    state, reason = outcome(exit_status, asked, failure, out_of_time)
    values = {
        "state": state,
        "reason": reason,
        "ended": unit.now,
        "exit_status": exit_status,
        "sent_bytes": sent_bytes,
    }
    access.refuse_for_good(unit, run)  # what is over stays over, whatever row of it is put back
    if not store.change(unit.conn, run, expect=("preparing", "running"), **values):
        ended = end_of(unit, run)  # by the log: a row that says so hides no end
        if ended is not None:
            return ended[0]
        store.change(unit.conn, run, expect=None, **values)
    model = model_of(unit, run)
    if refused:
        audit.append(unit, RefusedOften(run=run, model=model, code="runs.too_many_refusals", refused=refused))
    fact: Event
    hold = lasting.hold_against(unit, run, reason)
    if state == "succeeded":
        fact = RunFinished(run=run, model=model, sent_bytes=sent_bytes)
    elif state == "stopped":
        fact = RunStopped(run=run, model=model, why=reason, by=by, text=text, sent_bytes=sent_bytes, hold=hold)
    else:
        fact = RunFailed(run=run, model=model, code=reason, exit_status=exit_status, sent_bytes=sent_bytes, hold=hold)
    audit.append(unit, fact)
    return state


def orphans(unit: Unit) -> list[tuple[str, str]]:
    """Return (run, marks of its processes) of runs whose server is gone, for a runner that has just taken over.

    The marks are those that this server sealed: whoever writes the database would name anybody's process.
    """
    return [(run, marks_of(unit, run, kept)) for run, kept in store.processes(unit.conn)]


def left_open(unit: Unit) -> list[str]:
    """Return the runs whose ways a server left open, whatever their rows say."""
    return egress.left_open(unit)


def bury(unit: Unit, run: str) -> None:
    """End the record of a run whose server died under it. One of which the log has the end is put right by that."""
    sent = egress.close_lost(unit, run)
    ended = end_of(unit, run)
    if ended is None:
        end(unit, run, exit_status=None, failure="runs.server_died", sent_bytes=sent)
    else:
        store.change(unit.conn, run, expect=None, state=ended[0], reason=ended[1])
