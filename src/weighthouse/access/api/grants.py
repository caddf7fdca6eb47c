"""Grants after they have started. Guards their end: by time alone, by giving back, by revoking, and for good.

`valid_grant` is the check that every releasing point repeats. An end is remembered outside the database before it is
committed, so that no restored row undoes it; if the commit then fails, the grant is over all the same.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from weighthouse.access.api.decision import authorise, holds_on
from weighthouse.access.api.facts import member, person_of
from weighthouse.access.api.verifying import standing_of
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.events import GrantEnded, RequestLapsed
from weighthouse.access.model import Access, EndReason, Grant
from weighthouse.access.ports import Refusals
from weighthouse.access.rules import reasons as words
from weighthouse.access.rules import wording
from weighthouse.access.store import grants as rows
from weighthouse.access.store import requests as request_rows
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound
from weighthouse.core.ids import check_id
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

BATCH = 500


def valid_grant(unit: Unit, grant_id: str) -> Grant:
    """Return the grant if it counts at this moment; raise Denied with one line otherwise.

    Checks the seal, the row, ends kept outside the database, every vote's signature, the voters and the requester as
    they are today, today's policy, holds, and time. `end` of the returned grant is the end that counts today.
    """
    bundle = policy.current(unit)
    row = rows.find(unit.conn, check_id(grant_id, "grt"))
    if row is None:
        _refuse(unit, bundle, grant_id, "", "", "access.no_such_grant", "There is no such grant.")
    found = standing_of(unit, bundle, row)
    if found.problem or found.grant is None:
        reason = words.grant_reason(found.problem, grant_id)
        _refuse(unit, bundle, grant_id, row.person, row.resource, reason.code, reason.text)
    grant = found.grant
    if not grant.not_before <= unit.now < found.end:
        text = "The grant is not valid at this time; it has ended or not begun."
        _refuse(unit, bundle, grant_id, grant.person, grant.resource, "access.grant_expired", text)
    holds = holds_on(unit, grant.resource, grant.person)
    if all(any(hold.stops(action, grant.resource, grant.person) for hold in holds) for action in found.actions):
        text = "A hold stands against this; a hold beats every grant."
        _refuse(unit, bundle, grant_id, grant.person, grant.resource, "access.held", text)
    return msgspec.structs.replace(
        grant,
        end=found.end,
        request=msgspec.structs.replace(grant.request, actions=tuple(sorted(found.actions))),
    )


def _refuse(
    unit: Unit, bundle: policy.Bundle, grant: str, person: str, resource: str, code: str, text: str
) -> NoReturn:
    line = DeniedEvent(
        principal=person,
        kind="person",
        action="grant.use",
        resource=resource,
        code=code,
        rule="grant",
        grant=grant,
        policy_digest=bundle.digest,
        context={},
    )
    raise Denied(code, text, words.remedy_of(code), record=[line])


def grants_of(unit: Unit, caller: Caller, principal: str | None = None, limit: int = 100) -> list[Grant]:
    """The caller's grants, or another's for those who may read the log; ended ones too, the latest end first.

    A row whose seal does not hold is not a grant and is not among them.
    """
    bundle = policy.current(unit)
    person = person_of(unit, bundle, caller)
    if principal is not None and principal != person:
        authorise(unit, caller, "audit.read", policy.LAB_RESOURCE)
        person = principal
    found = []
    for row in rows.of_person(unit.conn, person, limit):
        standing = standing_of(unit, bundle, row)
        grant = standing.grant
        if grant is None or standing.problem == "access.grant_row_differs":
            continue
        if grant.state == "active" and unit.now >= standing.end:
            grant = msgspec.structs.replace(grant, state="ended", ended=standing.end, ended_why="expired")
        elif grant.state == "active" and standing.problem:
            grant = msgspec.structs.replace(grant, ended_why=standing.problem)
        found.append(grant)
    return found


def who_has(unit: Unit, caller: Caller, resource: str) -> list[Access]:
    """Everybody who can reach a resource now, complete: by grant, and by what stands for their team."""
    bundle = policy.current(unit)
    person_of(unit, bundle, caller)
    authorise(unit, caller, "catalogue.read", resource)
    thing = bundle.lab.resources[resource]
    found: list[Access] = []
    for row in rows.on_resource(unit.conn, resource, unit.now):
        standing = standing_of(unit, bundle, row)
        grant = standing.grant
        if grant is None or standing.problem or not grant.not_before <= unit.now < standing.end:
            continue
        approvers = ", ".join(vote.voter for vote in grant.votes) or "nobody; policy asks for no approval"
        found.append(
            Access(
                principal=grant.person,
                name=bundle.lab.people[grant.person].name,
                via=grant.entitlement,
                grant=grant.id,
                actions=tuple(sorted(standing.actions)),
                until=standing.end,
                why=f"Approved by {approvers}. Reason: “{grant.request.reason}”",
            )
        )
    return found + _standing(unit, bundle, thing)


def _standing(unit: Unit, bundle: policy.Bundle, thing: policy.Resource) -> list[Access]:
    found = []
    for entitlement in bundle.lab.entitlements.values():
        actions = entitlement.actions - {"catalogue.read"}
        if not entitlement.standing or not actions or not entitlement.reaches(thing):
            continue
        for person in bundle.lab.people.values():
            one = member(unit, bundle, person.id) if person.teams & entitlement.eligible_teams else None
            if one is not None and one.active:
                found.append(
                    Access(
                        principal=person.id,
                        name=person.name,
                        via=entitlement.id,
                        grant=None,
                        actions=tuple(sorted(actions)),
                        until=None,
                        why=f"Standing for {', '.join(sorted(person.teams & entitlement.eligible_teams))}.",
                    )
                )
    return found


def give_back(unit: Unit, caller: Caller, grant_id: str) -> Grant:
    """End one's own grant early. Raises NotFound for another's, Conflict if it is over."""
    person = person_of(unit, policy.current(unit), caller)
    row = rows.find(unit.conn, check_id(grant_id, "grt"), lock=True)
    if row is None or row.person != person:
        raise _no_such_grant()
    return end_grant(unit, row, "surrendered", person, "")


def revoke(unit: Unit, caller: Caller, grant_id: str, reason: str) -> Grant:
    """End anybody's grant at once. Needs `grant.revoke` on its resource, or the system as caller."""
    text = wording.cleaned(reason)
    if not 3 <= len(text) <= wording.LONGEST or wording.hides(reason):
        raise Invalid("access.reason_length", "A reason has 3 to 500 visible characters.", "Say why it ends.")
    row = rows.find(unit.conn, check_id(grant_id, "grt"), lock=True)
    if caller.kind != "system":
        authorise(unit, caller, "grant.revoke", row.resource if row is not None else policy.LAB_RESOURCE)
    if row is None:
        raise _no_such_grant()
    return end_grant(unit, row, "revoked", caller.principal, text)


def _no_such_grant() -> NotFound:
    return NotFound("access.no_such_grant", "There is no such grant.", "Pick one from the list of grants.")


def end_grant(unit: Unit, row: rows.StoredGrant, why: EndReason, by: str, text: str) -> Grant:
    """End a grant whose row is locked, for good; also one that only the memory has ended, after a kill in between."""
    refusals = unit.part(Refusals)
    if not rows.end(unit.conn, row.id, unit.now, why, by) or row.end <= unit.now:
        raise Conflict("access.grant_ended", "This grant is over already.", "None is needed.")
    unit.before_commit(lambda: refusals.close([row.id]))
    audit.append(
        unit, GrantEnded(grant=row.id, principal=row.person, resource=row.resource, why=why, by=by, text=text)
    )
    found = standing_of(unit, policy.current(unit), row)
    if found.grant is None:
        raise Conflict("access.grant_seal", "This row is not a grant; nothing has to be ended.", "Tell security.")
    return msgspec.structs.replace(found.grant, state="ended", ended=unit.now, ended_why=why, ended_by=by)


def tidy(unit: Unit, limit: int = BATCH) -> int:
    """Mark what time has ended and remember outside what the rows say is over. Enforcement never needs this.

    Returns how many rows were marked; run again while it returns `limit`.
    """
    done = 0
    refusals = unit.part(Refusals)
    for row in rows.past_end(unit.conn, unit.now, limit):
        if rows.end(unit.conn, row.id, row.end, "expired", "system"):
            line = GrantEnded(
                grant=row.id, principal=row.person, resource=row.resource, why="expired", by="system", text=""
            )
            audit.append(unit, line)
            done += 1
    for request_id in request_rows.overdue(unit.conn, unit.now, limit):
        found = request_rows.find(unit.conn, request_id, lock=True)
        if found is not None and request_rows.settle(unit.conn, request_id, found.row, "lapsed", "time", unit.now):
            audit.append(unit, RequestLapsed(request_id=request_id, why="time"))
            done += 1
    over = [*rows.ended_early(unit.conn, unit.now, limit), *request_rows.settled_ids(unit.conn, limit)]
    late = [id_ for id_ in over if not refusals.closed(id_)]
    if late:  # a crash between commit and the memory left these; nothing here opens anything
        refusals.close(late)
    return done
