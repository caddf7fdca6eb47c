"""What a hold would stop, before it is placed. Guards whoever places one from stopping the wrong thing, or nothing.

Nothing here is placed, and nothing decides by it: it shows. What is counted is what the rooms keep at this moment; an
act that has not begun is stopped as well, and is in no count.
"""

from __future__ import annotations

from weighthouse.access.api.about import about
from weighthouse.access.api.decision import authorise, explain
from weighthouse.access.api.holds import may_stand
from weighthouse.access.api.sealing import open_request
from weighthouse.access.api.subjects import check_actions, check_subject
from weighthouse.access.api.verifying import standing_of
from weighthouse.access.model import Grant, Hold, named_version
from weighthouse.access.store import grants as grant_rows
from weighthouse.access.store import requests as request_rows
from weighthouse.core.caller import Caller
from weighthouse.core.ids import HoldId
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

NOT_PLACED = HoldId("")


def hold_as_asked(unit: Unit, caller: Caller, subject: str, actions: tuple[str, ...]) -> Hold:
    """The hold that would be placed, for who may place one here, or hold releases. Raises as `place_hold` does."""
    check_subject(unit, subject, actions)
    check_actions(actions)
    lab = policy.current(unit).lab
    where = subject if subject in lab.resources else policy.LAB_RESOURCE
    if not explain(unit, caller, "committee.hold", where).allowed:
        authorise(unit, caller, "hold.place", where)
    return Hold(
        id=NOT_PLACED,
        subject=subject,
        kind="security",
        reason="",
        actions=tuple(sorted(set(may_stand(unit, caller, subject, actions)))),
        placed_by=caller.principal,
        at=unit.now,
    )


def check_looks(unit: Unit, caller: Caller, subject: str) -> None:
    """Raise Denied, with its line, unless the caller may see what a hold on `subject` has stopped: who may place
    holds there, hold releases, or read the log."""
    where = subject if subject in policy.current(unit).lab.resources else policy.LAB_RESOURCE
    others = (("committee.hold", where), ("audit.read", policy.LAB_RESOURCE))
    if not any(explain(unit, caller, action, thing).allowed for action, thing in others):
        authorise(unit, caller, "hold.place", where)


def would_stop(unit: Unit, hold: Hold, action: str, resource: str, person: str, version: str = "") -> bool:
    """Whether this hold would stand against an act; no other hold is looked at."""
    return hold.stops(action, resource, person, about(unit, resource, version).all)


def stopped_grants(unit: Unit, hold: Hold) -> list[Grant]:
    """The grants that run now and would not be good for something that they give, soonest end first."""
    bundle = policy.current(unit)
    found = []
    for row in grant_rows.all_running(unit.conn, unit.now, None):
        standing = standing_of(unit, bundle, row)
        grant = standing.grant
        if grant is None or standing.problem or not grant.not_before <= unit.now < standing.end:
            continue
        version = str(named_version(grant.request.operation))
        if any(would_stop(unit, hold, one, grant.resource, grant.person, version) for one in standing.actions):
            found.append(grant)
    return found


def stopped_requests(unit: Unit, hold: Hold) -> list[str]:
    """The requests that wait for approval and would be refused it."""
    found = []
    for row in request_rows.all_pending(unit.conn, unit.now):
        asked = open_request(unit, row)
        if asked is None or not asked.actions:
            continue
        version = str(named_version(asked.operation))
        if all(would_stop(unit, hold, one, asked.resource, asked.person, version) for one in asked.actions):
            found.append(str(asked.id))
    return found
