"""Stops runs whose ground is gone. Guards against a run that outlives its grant, its person or its session.

Attack: take over a session, submit a long run, and let it work on after the session was ended and the grant revoked.
The runner asks again by itself every second (`api/lasting.py`); this follower is faster, and ends what still waits.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.access import api as access
from weighthouse.audit.api import Entry, Follower, Learner
from weighthouse.core.work import System, Unit
from weighthouse.runs import api


def _handle(unit: Unit, entry: Entry) -> None:
    """Look again at the runs that a fact may concern. Whether they must end is asked, so that reading a fact twice,
    or long after it was undone, ends nothing that may go on."""
    data = entry.data
    if entry.kind == "access.GrantEnded":
        api.look_again(unit, entry.actor, grant_id=str(data["grant"]))
    elif entry.kind == "access.HoldPlaced":
        api.look_again(unit, entry.actor)
    elif entry.kind == "identity.PersonFrozen":
        api.look_again(unit, entry.actor, owner=str(entry.subject))
    else:
        api.look_again(unit, entry.actor, session=str(data["session"]))


def _learn(system: System, entries: Sequence[Entry]) -> None:
    """Remember outside the database which runs were asked to stop, on whatever server."""
    access.close_for_good(system, [entry.subject for entry in entries])


learners: tuple[Learner, ...] = (Learner(frozenset({"runs.StopAsked"}), _learn),)
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
