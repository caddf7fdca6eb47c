"""The approval card and the inbox. Guards approvers from signing what they did not see.

The card is made from the sealed request and the policy in force; the statement on it is exactly what a vote signs.
Who may not know of a request is told that there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from weighthouse.access.api.facts import directory, index_of, member, person_of, terms_of
from weighthouse.access.api.held import free_person, is_held
from weighthouse.access.api.outcomes import as_it_stands
from weighthouse.access.api.requests import no_such_request
from weighthouse.access.api.sealing import open_request, open_votes
from weighthouse.access.api.taken_back import is_foreign
from weighthouse.access.model import Card, Request, Suggestion, Vote
from weighthouse.access.ports import Refusals
from weighthouse.access.rules import card as words
from weighthouse.access.rules.advisor import advise
from weighthouse.access.rules.deciding import Counted, Terms, decide, problem_of, weigh
from weighthouse.access.rules.reasons import why_moved
from weighthouse.access.store import grants as grant_rows
from weighthouse.access.store import requests as rows
from weighthouse.core import paging
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY, MINUTE, Millis
from weighthouse.core.ids import check_id
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

CARD_LIFE: Millis = 10 * MINUTE
_PAGE = 500


def seats_of(request: Request, terms: Terms | None) -> frozenset[str]:
    """The teams whose members may vote on a request: those it was made with, and today's."""
    today = terms.slots if terms is not None else ()
    return frozenset(slot.team for slot in (*request.slots, *today))


def may_vote(unit: Unit, bundle: policy.Bundle, request: Request, person: str) -> bool:
    """Whether a person sits in a team that is asked, and is not the requester."""
    one = member(unit, bundle, person)
    terms = terms_of(bundle.lab, request.entitlement, request.resource)
    return one is not None and one.active and person != request.person and bool(one.teams & seats_of(request, terms))


def may_see(unit: Unit, bundle: policy.Bundle, request: Request, person: str) -> bool:
    """Whether a person may know of a request: its own, theirs to vote on, or an auditor's to read."""
    if person == request.person or may_vote(unit, bundle, request, person):
        return True
    one = member(unit, bundle, person)
    lab = bundle.lab.resources[policy.LAB_RESOURCE]
    return one is not None and one.active and bool(one.teams & index_of(bundle).standing_teams("audit.read", lab))


def card(unit: Unit, caller: Caller, request_id: str) -> Card:
    """The card of a request, with the statement to sign. Raises NotFound `access.no_such_request`."""
    bundle = policy.current(unit)
    person = person_of(unit, bundle, caller)
    row = rows.find(unit.conn, check_id(request_id, "req"))
    request = open_request(unit, row) if row is not None else None
    if request is None or request.person != person:
        free_person(unit, bundle, caller, "request.read", request_id)
    if request is None or not may_see(unit, bundle, request, person):
        raise no_such_request()
    return _card(unit, bundle, as_it_stands(unit, request), caller)


def inbox(unit: Unit, caller: Caller, limit: int = 100) -> list[Card]:
    """The first of `inbox_page`."""
    return inbox_page(unit, caller, limit=limit).items


def inbox_page(unit: Unit, caller: Caller, *, cursor: str | None = None, limit: int = 100) -> paging.Page[Card]:
    """Cards of the requests that wait for the caller's vote, oldest first, however many wait for others."""
    bundle = policy.current(unit)
    person = free_person(unit, bundle, caller, "request.read", "lab")
    found: list[Card] = []
    place = paging.place_of(cursor, "inbox", (int, str))
    for request in _for(unit, bundle, person, place):
        made = _card(unit, bundle, request, caller)
        if made.can_vote:
            found.append(made)
        if len(found) > limit:
            break
    return paging.page(found, limit, "inbox", lambda one: (one.request.created, one.request.id), place)


def waiting(unit: Unit, caller: Caller, limit: int = 100) -> int:
    """How many requests wait for the caller's vote, counted up to `limit`; no card is made for it.

    Every page shows it, so what it costs is bounded: at most `limit` rows that nobody voted on for the caller are
    opened, and as many on which a vote of theirs may have been lost, however many wait for others. Further ones only
    for those that are closed outside the database, or no longer to be believed, which hide none behind them.
    """
    bundle = policy.current(unit)
    person = person_of(unit, bundle, caller)
    one = member(unit, bundle, person)
    if one is None or is_held(unit, person):
        return 0
    asked = [
        entitlement.id
        for entitlement in bundle.lab.entitlements.values()
        if one.teams & {slot.team for slot in entitlement.requires}
    ]
    refusals, count = unit.part(Refusals), 0
    for voted in (False, True):
        for row in _awaiting(unit, person, asked, limit, voted):
            if count == limit:
                return count
            request = open_request(unit, row)
            if request is None or refusals.closed(row.id) or is_foreign(unit, request):
                continue
            if not may_vote(unit, bundle, request, person):
                continue
            count += not _has_voted(unit, bundle, request, person)
    return count


def _awaiting(
    unit: Unit, person: str, entitlements: Sequence[str], first: int, voted: bool
) -> Iterator[rows.StoredRequest]:
    """All that `rows.awaiting` finds: `first` rows, and four times as many each time that those were not enough."""
    seen: set[str] = set()
    while True:
        found = rows.awaiting(unit.conn, unit.now, person, entitlements, first, voted=voted)
        yield from (row for row in found if row.id not in seen)
        if len(found) < first:
            return
        seen |= {row.id for row in found}
        first *= 4


def _has_voted(unit: Unit, bundle: policy.Bundle, request: Request, person: str) -> bool:
    """Whether a vote of this person counts on a request; what was lost with its device may be given again."""
    mine = [row for row in rows.votes_of(unit.conn, request.id) if row[1] == person]
    terms = index_of(bundle).terms(request.entitlement, request.resource)
    one = member(unit, bundle, person)
    return any(not problem_of(request, counted, one, terms) for counted in open_votes(unit, mine))


def _for(unit: Unit, bundle: policy.Bundle, person: str, place: paging.Place | None = None) -> Iterator[Request]:
    """Open requests that a person may vote on, oldest first, page by page: however many wait for others, none of
    them is missed."""
    back = place is not None and place.back
    while page := rows.pending(unit.conn, unit.now, _PAGE, place):
        place = paging.Place((page[-1].created, page[-1].id), back)
        for row in page:
            request = open_request(unit, row)
            if request is not None and may_vote(unit, bundle, request, person):
                yield request


def statement_of(unit: Unit, bundle: policy.Bundle, request: Request, voter: Caller) -> dict[str, Any]:
    """What a vote signs, but for the verdict and the device."""
    vote = Vote(
        request=request.id,
        request_digest=request.digest,
        policy_digest=bundle.digest,
        verdict="approve",
        voter=voter.principal,
        account=voter.account,
        kind="device",
        device="",
        at=unit.now,
        signature="",
        audience=identity.audience(unit.system),
    )
    return vote.statement()


def _card(unit: Unit, bundle: policy.Bundle, request: Request, caller: Caller) -> Card:
    person = caller.principal
    terms = terms_of(bundle.lab, request.entitlement, request.resource)
    votes = counted_now(unit, request.id)
    setting = _setting(unit, bundle, request, terms, [one.vote.voter for one in votes])
    narrower = _narrower(bundle, request)
    missing, dropped = _counts(unit, bundle, request, votes, terms)
    refusals = unit.part(Refusals)
    over = refusals.closed(request.id) or is_foreign(unit, request)
    is_open = request.state == "pending" and unit.now < request.lapses and not over
    lost = {voter for voter, _code in dropped}
    voted = {counted.vote.voter for counted in votes} - lost
    return Card(
        request=request,
        digest=request.digest,
        policy_digest=bundle.digest,
        lines=words.lines(request, setting),
        unusual=words.unusual(request, setting, narrower, dropped),
        alternatives=narrower,
        votes=tuple(msgspec.structs.replace(one.vote, session="", seal="") for one in votes),  # the voter's affair
        missing=missing,
        statement=statement_of(unit, bundle, request, caller),
        expires=min(unit.now + CARD_LIFE, request.lapses),
        can_vote=is_open and person not in voted and may_vote(unit, bundle, request, person),
    )


def counted_now(unit: Unit, request_id: str) -> list[Counted]:
    """The votes of a request as they count now: one of somebody under a hold counts not, while it stands."""
    return [
        Counted(one.vote, "access.voter_held") if not one.problem and _stopped(unit, one.vote) else one
        for one in open_votes(unit, rows.votes_of(unit.conn, request_id))
    ]


def _stopped(unit: Unit, vote: Vote) -> bool:
    return vote.verdict == "approve" and is_held(unit, vote.voter)


def _counts(
    unit: Unit, bundle: policy.Bundle, request: Request, votes: Sequence[Counted], terms: Terms | None
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """What is still missing, in words, and which votes were dropped."""
    if terms is None:
        return (), ()
    people = directory(unit, bundle, {request.person, *(counted.vote.voter for counted in votes)})
    if request.state == "pending":
        outcome = decide(request, votes, people, terms, unit.now)
        if outcome.state == "invalidated":
            return (f"Policy no longer allows this: {why_moved(outcome.why)}",), ()
    quorum = weigh(request, votes, people, terms)
    missing = tuple(f"{slot.name} ({slot.count} of {slot.team})" for slot in quorum.missing)
    bad = tuple((one.vote.voter, one.problem) for one in votes if one.problem and one.vote.verdict == "deny")
    return (missing if request.state == "pending" else ()), quorum.dropped + bad


def _narrower(bundle: policy.Bundle, request: Request) -> tuple[Suggestion, ...]:
    ranked = advise(index_of(bundle).candidates(), request.resource, None)
    here = next((one for one in ranked if one.entitlement == request.entitlement), None)
    teams = bundle.lab.people[request.person].teams if request.person in bundle.lab.people else frozenset()
    return tuple(
        one
        for one in ranked
        if here is not None
        and (one.broad, one.danger, one.excess) < (here.broad, here.danger, here.excess)
        and bundle.lab.entitlements[one.entitlement].eligible_teams & teams
    )


def _line(lab: policy.Lab, person: str, voters: Sequence[str]) -> tuple[str, ...]:
    """Those of `voters` whom a person reports to, or who report to them, in words. Shown, and no more than that."""
    above = lab.people[person].manager if person in lab.people else ""
    found = [f"{lab.people[one].name}, whom they report to" for one in voters if one == above and one in lab.people]
    below = [one for one in voters if one in lab.people and lab.people[one].manager == person]
    return (*found, *(f"{lab.people[one].name}, who reports to them" for one in below))


def _setting(
    unit: Unit, bundle: policy.Bundle, request: Request, terms: Terms | None, votes: Sequence[str]
) -> words.Setting:
    lab = bundle.lab
    person = lab.people.get(request.person)
    entitlement = lab.entitlements.get(request.entitlement)
    resource = lab.resources.get(request.resource)
    top = max((one.rank for one in lab.classes.values()), default=0)
    cls = lab.classes.get(resource.cls) if resource is not None else None
    return words.Setting(
        person_name=person.name if person else request.person,
        entitlement_name=entitlement.name if entitlement else request.entitlement,
        resource_name=resource.name if resource else request.resource,
        cap=terms.cap if terms else request.duration,
        broad=bool(terms and terms.broad),
        top_rank=bool(cls and cls.rank == top and top > 0),
        first_time=not grant_rows.ever(unit.conn, request.person, request.entitlement, request.resource),
        refused_before=rows.count_refused(unit.conn, request.person, request.entitlement, unit.now - 30 * DAY),
        policy_changed=request.policy_digest != bundle.digest,
        reports_to=lab.people[person.manager].name if person and person.manager in lab.people else "",
        line_voted=_line(lab, request.person, votes),
    )
