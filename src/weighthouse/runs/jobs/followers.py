"""Stops runs whose ground is gone. Guards against a run that outlives its grant, its person or its session.

Attack: take over a session, submit a long run, and let it work on after the session was ended and the grant revoked.
"""

from __future__ import annotations

from typing import Any

from weighthouse.audit.api import Entry, Follower
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy
from weighthouse.runs import api


def _handle(unit: Unit, entry: Entry) -> None:
    data = entry.data
    if entry.kind == "access.GrantEnded":
        api.stop_for(unit, "runs.grant_ended", entry.actor, grant_id=str(data["grant"]))
    elif entry.kind == "access.HoldPlaced":
        _held(unit, str(data["held"]), entry.actor)
    elif entry.kind == "identity.PersonFrozen":
        api.stop_for(unit, "runs.person_frozen", entry.actor, owner=str(entry.subject))
    elif entry.kind == "identity.SessionUsedElsewhere" or _ended_by_another(data):
        api.stop_for(unit, "runs.session_ended", entry.actor, session=str(data["session"]))


def _ended_by_another(data: dict[str, Any]) -> bool:
    """Whether somebody else ended the session. Signing out by oneself says nothing is wrong."""
    return bool(data["by"] != data["principal"])


def _held(unit: Unit, held: str, by: str) -> None:
    if held == "lab":
        api.stop_for(unit, "runs.held", by)
    elif held in policy.current(unit).lab.resources:
        api.stop_for(unit, "runs.held", by, model=held)
    else:
        api.stop_for(unit, "runs.held", by, owner=held)


followers: tuple[Follower, ...] = (
    Follower(
        name="runs.stop",
        kinds=frozenset(
            {
                "access.GrantEnded",
                "access.HoldPlaced",
                "identity.PersonFrozen",
                "identity.SessionEnded",
                "identity.SessionUsedElsewhere",
            }
        ),
        handle=_handle,
    ),
)
