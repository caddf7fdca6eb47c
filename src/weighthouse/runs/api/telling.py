"""What the log tells of a run, whatever its row says. Guards ends from being hidden, and models from other names."""

from __future__ import annotations

from typing import Any

from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.runs.api.sealing import ticket_of
from weighthouse.runs.events import RunFailed, RunFinished, RunStarted, RunStopped, RunSubmitted
from weighthouse.runs.model import State

_LINES = {one.KIND: audit.Lines(one.KIND) for one in (RunSubmitted, RunStarted, RunFinished, RunStopped, RunFailed)}
_ENDS: dict[str, tuple[State, str]] = {
    RunFinished.KIND: ("succeeded", ""),
    RunStopped.KIND: ("stopped", "why"),
    RunFailed.KIND: ("failed", "code"),
}


def told(unit: Unit, kind: str, run: str) -> dict[str, Any] | None:
    """Return the newest line of a kind about a run, one that is on its way included; None if there is none."""
    waiting = [data for data in audit.on_its_way(unit, kind) if data.get("run") == run]
    newest = None if waiting else _LINES[kind].newest(unit, run)
    return waiting[-1] if waiting else dict(newest.data) if newest is not None else None


def end_of(unit: Unit, run: str) -> tuple[State, str] | None:
    """Return how a run ended and why, as the log has it; None while it has not."""
    for kind, (state, field) in _ENDS.items():
        line = told(unit, kind, run)
        if line is not None:
            return state, str(line.get(field, ""))
    return None


def model_of(unit: Unit, run: str) -> str:
    """Return the model that a run was submitted on; empty only where neither a row nor the log tells."""
    ticket = ticket_of(unit, run)
    if ticket is not None:
        return ticket.order.model
    return _submitted(unit, run, "model")


def owner_of(unit: Unit, run: str) -> str:
    """Return who submitted a run, as the log has it."""
    return _submitted(unit, run, "owner")


def _submitted(unit: Unit, run: str, field: str) -> str:
    try:
        line = told(unit, RunSubmitted.KIND, run)
    except WeighthouseError:  # a log that cannot be read keeps no run from ending
        return ""
    return str(line[field]) if line is not None else ""
