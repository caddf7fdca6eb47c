"""Requests that policy has outgrown. Guards a new policy from what was asked under an old one.

They are settled in the very transaction that publishes, each with a line that names both sides, and remembered
outside the database. A request that was out of sight at that moment, because somebody hid its row, is judged by every
policy that was in force since it was asked: one that did not allow it ended it for good, whatever a later one says.
"""

from __future__ import annotations

from weighthouse.access.api.facts import member, person_of, terms_of
from weighthouse.access.api.outcomes import as_it_stands
from weighthouse.access.api.requests import settle
from weighthouse.access.api.sealing import open_request
from weighthouse.access.events import PolicyPublished, RequestOvertaken, RequestSubmitted
from weighthouse.access.model import Request
from weighthouse.access.rules.deciding import Member, base_moved, outgrown
from weighthouse.access.store import requests as rows
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY, Millis
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

TOLD: Millis = 7 * DAY  # for how long both sides are shown what policy has settled
_ASKED = audit.Lines(RequestSubmitted.KIND)
_PUBLISHED = audit.Lines(PolicyPublished.KIND, by="")


def settle_overtaken(unit: Unit, bundle: policy.Bundle) -> int:
    """End every open request that the policy just published no longer allows; return how many."""
    done = 0
    for row in rows.all_pending(unit.conn, unit.now):
        request = open_request(unit, row)
        why = _settles(unit, bundle, request) if request is not None else ""
        if request is None or not why:
            continue
        settle(unit, request, "invalidated", why)
        teams = sorted({slot.team for slot in request.slots})
        audit.append(
            unit,
            RequestOvertaken(
                request_id=request.id,
                principal=request.person,
                entitlement=request.entitlement,
                resource=request.resource,
                asked=tuple(teams),
                why=why,
                policy_digest=bundle.digest,
            ),
        )
        done += 1
    return done


def _settles(unit: Unit, bundle: policy.Bundle, request: Request) -> str:
    return _outgrown(unit, bundle.lab, request) or base_moved(request, bundle.digest)


def overtaken(unit: Unit, request: Request) -> str:
    """The code of what any policy since the request was asked did not allow about it, or an empty text."""
    moved = base_moved(request, policy.current(unit).digest)
    if moved:
        return moved
    asked = _ASKED.newest(unit, request.id)
    for line in _PUBLISHED.of(unit, start=asked.index if asked is not None else 0):
        if asked is None and line.at <= request.created:
            continue
        lab = policy.once_in_force(unit, int(line.data["version"]), str(line.data["digest"]))
        why = _outgrown(unit, lab, request)
        if why:
            return why
    return ""


def told(unit: Unit, caller: Caller) -> list[Request]:
    """What policy has settled in the last days of the requests that the caller was asked to vote on, newest first."""
    bundle = policy.current(unit)
    person = person_of(unit, bundle, caller)
    one = member(unit, bundle, person)
    teams = one.teams if one is not None else frozenset()
    found = []
    for row in rows.invalidated_since(unit.conn, unit.now - TOLD):
        request = open_request(unit, row)
        if request is None or request.person == person or not teams & {slot.team for slot in request.slots}:
            continue
        request = as_it_stands(unit, request)
        if request.state == "invalidated":
            found.append(request)
    return found


def _outgrown(unit: Unit, lab: policy.Lab, request: Request) -> str:
    terms = terms_of(lab, request.entitlement, request.resource)
    if terms is None:
        return "access.no_such_entitlement"
    entry = lab.people.get(request.person)
    if entry is None:
        return outgrown(request, None, terms)
    now = member(unit, policy.current(unit), request.person)
    accounts, adopted = policy.accounts_of(lab, request.person), now.adopted if now is not None else ""
    return outgrown(request, Member(entry.teams, entry.active, accounts=accounts, adopted=adopted), terms)
