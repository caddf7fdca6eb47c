"""Whether what was once allowed still is. Guards what goes on for hours from living on after its access has ended.

Whoever lets something go on asks here on a period, so that an end needs no message to arrive: a row that was emptied
or a follower that somebody moved on keeps nothing alive. Nothing here leaves a line; what is ended for it leaves one.
"""

from __future__ import annotations

from weighthouse.access.api.binding import bound
from weighthouse.access.api.calls import stop_of
from weighthouse.access.api.decision import judge
from weighthouse.access.api.facts import member
from weighthouse.access.api.grants import valid_grant
from weighthouse.access.api.outcomes import end_of_grant
from weighthouse.access.api.sealing import agrees, open_grant
from weighthouse.access.api.voiding import without_void
from weighthouse.access.model import Stop
from weighthouse.access.ports import Refusals
from weighthouse.access.store import grants as grant_rows
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.errors import Denied, NotFound
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy


def lost(unit: Unit, person: str, account: str, grant: str | None, action: str, resource: str) -> str:
    """Return the code of why `person` may not go on with `action` on `resource`, empty while they may.

    With `grant`, it must be that very grant which still counts; without one, today's policy is asked again, as if the
    person were here with a fresh second factor, for that was asked when they began.
    """
    one = member(unit, policy.current(unit), person)
    if one is None or not one.active:
        return "access.person_inactive"
    if stop_of(unit, [action], resource, person) is not None:
        return "access.held"
    if grant is not None:
        try:
            found = valid_grant(unit, grant)
        except (Denied, NotFound) as refusal:
            return refusal.code
        same = (found.person, found.resource) == (person, resource) and action in found.request.actions
        return "" if same else "access.no_grant"
    asked = Caller(
        principal=PrincipalId(person),
        kind="person",
        account=account,
        assurance=Assurance(2, unit.now, "assumed"),
        binding="none",
    )
    decision = judge(unit, asked, action, resource, {}, keyed=True)
    return "" if decision.allowed else decision.reasons[0].code


def bound_lost(unit: Unit, workload: str) -> str:
    """Return the code of what is wrong with a grant that a run is bound to, empty while all of them stand."""
    for grant in bound(unit, workload).values():
        try:
            valid_grant(unit, grant)
        except (Denied, NotFound) as refusal:
            return refusal.code
    return ""


def held(unit: Unit, action: str, resource: str, person: str, version: str = "") -> bool:
    """Whether a hold stands against `action` on `resource`, and on one version of it, by `person`."""
    return held_by(unit, action, resource, person, version) is not None


def held_by(unit: Unit, action: str, resource: str, person: str, version: str = "") -> Stop | None:
    """The same, and by which hold; None while nothing stands against it."""
    return stop_of(unit, [action], resource, person, version)


def taken_back(unit: Unit, grant: str) -> str:
    """Return the code of why what was begun by a grant does not count any more, though the grant itself may be over
    by time or given back; empty while it counts. A vote that fell with its session falls here, too."""
    row = grant_rows.find(unit.conn, grant)
    sealed = open_grant(unit, row) if row is not None else None
    if row is None or sealed is None or not agrees(row, sealed.grant):
        return "access.grant_seal"
    asked = sealed.grant.request
    end = end_of_grant(unit, grant)
    over = end.data["why"] not in ("expired", "surrendered") if end is not None else unit.part(Refusals).closed(grant)
    if over or identity.disclaimed(unit, asked.person, asked.session, asked.created):
        return "access.grant_ended"
    return next((one.problem for one in without_void(unit, sealed.votes) if one.problem), "")


def refused_for_good(unit: Unit, id_: str) -> bool:
    """Whether the thing with this id was refused for good, whatever its row says."""
    return unit.part(Refusals).closed(id_)
