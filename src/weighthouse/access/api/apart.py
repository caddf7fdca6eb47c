"""Separation of duties. Guards against two harmless grants that are a theft together, whenever they meet.

Asked when somebody requests, when the last vote would activate, and at every use: of two grants that policy keeps
apart the younger gives nothing. What was given is also remembered outside the database, so that nobody hides the row
of one grant while the other is asked for or used.
"""

from __future__ import annotations

from weighthouse.access.api.facts import index_of
from weighthouse.access.api.owing import keep_apart
from weighthouse.access.api.sealing import agrees, open_grant, open_request
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.model import Apart, Grant, Request
from weighthouse.access.ports import Refusals
from weighthouse.access.rules.separation import conflict
from weighthouse.access.store import grants as grant_rows
from weighthouse.access.store import requests as rows
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Denied
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def check_separation(unit: Unit, bundle: policy.Bundle, request: Request, *, pending: bool = True) -> None:
    """Raise Denied `access.separation` if the person holds, or waits for, what must be kept apart from this."""
    apart = index_of(bundle).apart(request.entitlement)
    if not apart:
        return
    held = {row.entitlement for row in grant_rows.running(unit.conn, request.person, unit.now)}
    held |= {one.entitlement for one in _remembered(unit, request.person)}
    if pending:
        held |= {
            other.entitlement
            for row in rows.pending_of(unit.conn, request.person, unit.now)
            if (other := open_request(unit, row)) is not None and other.id != request.id
        }
    found = conflict(request.entitlement, held | _standing(bundle, request.person), apart)
    if found is not None:
        raise _refused(bundle, request, found, "request.submit" if pending else "request.activate")


def _refused(bundle: policy.Bundle, request: Request, found: tuple[str, str, str], action: str) -> Denied:
    name, other, why = found
    line = DeniedEvent(
        principal=request.person,
        kind="person",
        action=action,
        resource=request.resource,
        code="access.separation",
        rule=name[:64],
        grant="",
        policy_digest=bundle.digest,
        context={"other": other},
    )
    return Denied(
        "access.separation",
        f"'{request.entitlement}' may not be held beside '{other}': {why}",
        f"Give '{other}' back or withdraw it first, or let somebody else ask.",
        record=[line],
    )


def meets_another(unit: Unit, bundle: policy.Bundle, grant: Grant) -> bool:
    """Whether the person held something before this grant that policy keeps apart from it, and holds it still."""
    apart = index_of(bundle).apart(grant.entitlement)
    if not apart:
        return False
    mine = (grant.not_before, grant.id)
    held = {one.entitlement for one in _remembered(unit, grant.person) if (one.start, one.grant) < mine}
    for row in grant_rows.running(unit.conn, grant.person, unit.now):
        sealed = open_grant(unit, row) if row.id != grant.id else None
        if sealed is None or not agrees(row, sealed.grant) or unit.part(Refusals).closed(row.id):
            continue
        if (sealed.grant.not_before, sealed.grant.id) < mine and unit.now < sealed.grant.end:
            held.add(sealed.grant.entitlement)
    return conflict(grant.entitlement, held | _standing(bundle, grant.person), apart) is not None


def _remembered(unit: Unit, person: str) -> list[Apart]:
    """What is remembered outside the database and has not ended."""
    refusals = unit.part(Refusals)
    return [one for one in refusals.held_apart(person) if unit.now < one.end and not refusals.closed(one.grant)]


def _standing(bundle: policy.Bundle, person: str) -> set[str]:
    entry = bundle.lab.people.get(person)
    teams = entry.teams if entry is not None else frozenset()
    return {one.id for one in bundle.lab.entitlements.values() if one.standing and one.eligible_teams & teams}


def remember(unit: Unit, grant: Grant, end: Millis) -> None:
    """Keep outside the database that this grant begins, or that it is over already at `end`."""
    held = Apart(
        grant=grant.id,
        person=grant.person,
        entitlement=grant.entitlement,
        start=grant.not_before,
        end=end,
        resource=grant.resource,
    )
    keep_apart(unit, held)
