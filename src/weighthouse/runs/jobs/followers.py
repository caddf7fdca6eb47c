"""Stops runs whose ground is gone. Guards against a run that outlives its grant, its person's standing or its session.

Attack: take over a session, submit a long run, and let it work on after the session was ended and the grant revoked.
"""

from __future__ import annotations

from weighthouse.audit.api import Entry, Follower
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy
from weighthouse.runs import api

# Ends of a session by which nobody says that anything is wrong.
_ORDINARY = frozenset({"signed out", "sign-out", "signed_out", "expired", "idle", "replaced"})


def _handle(unit: Unit, entry: Entry) -> None:
    data = entry.data
    if entry.kind == "access.GrantEnded":
        api.stop_for(unit, "runs.grant_ended", entry.actor, grant_id=str(data["grant"]))
    elif entry.kind == "access.HoldPlaced":
        _held(unit, str(data["held"]), entry.actor)
    elif entry.kind == "identity.PersonFrozen":
        api.stop_for(unit, "runs.person_frozen", entry.actor, owner=str(entry.subject))
    elif entry.kind == "identity.SessionUsedElsewhere" or (
        entry.kind == "identity.SessionEnded" and data["reason"] not in _ORDINARY and data["by"] != data["principal"]
    ):
        api.stop_for(unit, "runs.session_ended", entry.actor, session=str(data["session"]))


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
