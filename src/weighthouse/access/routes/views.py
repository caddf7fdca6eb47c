"""What pages of access show, put together from what the room and the policy say. Guards templates from deciding.

Every name in plain words comes from the signed lab configuration; what the reader may not know of is 404.
"""

from __future__ import annotations

import msgspec

from weighthouse.access import api
from weighthouse.access.api.facts import terms_of
from weighthouse.access.rules.matching import fill
from weighthouse.core import canonical
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import NotFound
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


class SlotView(msgspec.Struct, frozen=True, kw_only=True):
    """One place to be filled, and by whom it was. `mine` is whether the reader's approval would fill it."""

    name: str
    team: str
    voter: str = ""
    at: Millis = 0
    how: str = ""
    mine: bool = False


class Narrower(msgspec.Struct, frozen=True, kw_only=True):
    """A narrower role, and which of the asked actions it would not give."""

    entitlement: str
    name: str
    actions: tuple[str, ...]
    lacks: tuple[str, ...]


class CardView(msgspec.Struct, frozen=True, kw_only=True):
    """The approval card as its page shows it. `statement` is the text that a device completes and signs.

    `cap` is the longest time that policy allows; `act` what a second factor for the vote is bound to, but for the
    verdict; `last` whether the reader's approval is the only one that is missing.
    """

    request: api.Request
    requester: str
    name: str
    about: str
    resource: str
    resource_about: str
    cls: str
    cap: Millis
    broad: bool
    lines: tuple[str, ...]
    unusual: tuple[str, ...]
    alternatives: tuple[Narrower, ...]
    slots: tuple[SlotView, ...]
    denials: tuple[SlotView, ...]
    missing: tuple[str, ...]
    digest: str
    policy_digest: str
    policy_version: int
    statement: str
    at: Millis
    may_vote: bool
    last: bool
    mine: bool
    voted: str
    signature: str
    act: str
    closes: Millis


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role that opens a resource, as the wizard ranks it: what it gives, and what beyond the narrowest one."""

    entitlement: str
    name: str
    description: str
    gives: tuple[str, ...]
    beyond: tuple[str, ...]
    others: int
    people: int
    teams: tuple[str, ...]
    max: Millis
    broad: bool


def role(unit: Unit, resource: str, entitlement: str) -> policy.Entitlement:
    """Return an entitlement that can be asked for on `resource`; raise NotFound `access.no_such_entitlement`."""
    found = policy.current(unit).lab.entitlements.get(entitlement)
    if found is None or found.standing or not found.covers(resource):
        raise NotFound(
            "access.no_such_entitlement",
            "There is no such entitlement to ask for on that resource.",
            "Search for the resource; its page ranks what opens it, narrowest first.",
        )
    return found


def longest(unit: Unit, role: policy.Entitlement, thing: policy.Resource) -> Millis:
    """Return the longest time that the role and the class of the thing both allow."""
    return min(role.max_duration, policy.current(unit).lab.classes[thing.cls].max_grant)


def resource(unit: Unit, caller: Caller, name: str) -> policy.Resource:
    """Return a resource that the caller may know of; raise NotFound `access.no_such_resource`."""
    found = policy.current(unit).lab.resources.get(name)
    if found is None or not api.explain(unit, caller, "catalogue.read", name).allowed:
        raise NotFound(
            "access.no_such_resource", "There is no such resource.", "Search for it; names are spelt as in the lab."
        )
    return found


def decisions(unit: Unit, caller: Caller, thing: policy.Resource) -> list[api.Decision]:
    """The caller's answers on `thing`: every action that can be asked for there, and whatever else is a yes."""
    roles = [one for one in policy.current(unit).lab.entitlements.values() if one.covers(thing.id)]
    asked = {action for one in roles if not one.standing for action in one.actions}
    every = sorted({action for one in roles for action in one.actions})
    found = [api.explain(unit, caller, action, thing.id) for action in every]
    return [one for one in found if one.allowed or one.action in asked]


def standing(unit: Unit, caller: Caller) -> list[policy.Entitlement]:
    """The standing entitlements of the caller's teams."""
    lab = policy.current(unit).lab
    person = lab.people.get(caller.principal)
    teams = person.teams if person else frozenset()
    return [one for one in lab.entitlements.values() if one.standing and one.eligible_teams & teams]


def card(unit: Unit, caller: Caller, made: api.Card) -> CardView:
    """Return the approval card as its page shows it."""
    bundle = policy.current(unit)
    lab, request = bundle.lab, made.request
    terms = terms_of(lab, request.entitlement, request.resource)
    thing, asked = lab.resources.get(request.resource), lab.entitlements.get(request.entitlement)
    slots, last = _slots(lab, made, caller.principal)
    act = {"type": "request.vote", "subject": request.id, "parameters": {"digest": made.digest}}
    return CardView(
        request=request,
        requester=_name(lab, request.person),
        name=_role_name(lab, request.entitlement),
        about=asked.description if asked else "",
        resource=thing.name if thing else request.resource,
        resource_about=thing.description if thing else "",
        cls=lab.classes[request.cls].name if request.cls in lab.classes else request.cls,
        cap=terms.cap if terms else request.duration,
        broad=bool(terms and terms.broad),
        lines=made.lines,
        unusual=made.unusual,
        alternatives=tuple(_narrower(lab, request, one) for one in made.alternatives),
        slots=slots,
        denials=tuple(
            SlotView(name="", team="", voter=_name(lab, vote.voter), at=vote.at, how=vote.comment)
            for vote in made.votes
            if vote.verdict == "deny"
        ),
        missing=made.missing,
        digest=made.digest,
        policy_digest=made.policy_digest,
        policy_version=bundle.version,
        statement=canonical.encode(made.statement).decode(),
        at=made.statement["at"],
        may_vote=made.can_vote,
        last=last and request.policy_digest == made.policy_digest,
        mine=request.person == caller.principal,
        voted=next((vote.verdict for vote in made.votes if vote.voter == caller.principal), ""),
        signature=request.vote_signature,
        act=canonical.encode(act).decode(),
        closes=made.expires,
    )


def _narrower(lab: policy.Lab, request: api.Request, one: api.Suggestion) -> Narrower:
    gives = lab.entitlements[one.entitlement].actions
    return Narrower(
        entitlement=one.entitlement,
        name=one.name,
        actions=tuple(sorted(gives)),
        lacks=tuple(sorted(set(request.actions) - gives)),
    )


def _slots(lab: policy.Lab, made: api.Card, reader: str) -> tuple[tuple[SlotView, ...], bool]:
    """Each seat once, with the vote that fills it by the matching that the decision itself uses.

    Also whether the reader's approval would fill the last one.
    """
    given = {vote.voter: vote for vote in made.votes if vote.verdict == "approve"}
    teams = {voter: lab.people[voter].teams for voter in given if voter in lab.people}
    sitting = list(fill(made.request.slots, teams).filled)
    joined = {**teams, reader: lab.people[reader].teams} if made.can_vote and reader in lab.people else teams
    then = fill(made.request.slots, joined)
    own = next((name for name, person in then.filled if person == reader), "")
    seats: list[SlotView] = []
    for slot in made.request.slots:
        team = lab.teams[slot.team].name if slot.team in lab.teams else slot.team
        for _ in range(slot.count):
            found = next((pair for pair in sitting if pair[0] == slot.name), None)
            if found is None:
                mine, own = own == slot.name, "" if own == slot.name else own
                seats.append(SlotView(name=slot.name, team=team, mine=mine))
                continue
            sitting.remove(found)
            vote = given[found[1]]
            how = "signed by their own device" if vote.kind == "device" else "attested by the server"
            seats.append(SlotView(name=slot.name, team=team, voter=_name(lab, vote.voter), at=vote.at, how=how))
    return tuple(seats), then.complete


def who_key(one: api.Access) -> tuple[int | str, ...]:
    """Where somebody stands in the list of who can reach a thing: by grant first, then by what stands for a team."""
    return (0 if one.grant else 1, one.principal, one.via, one.grant or "")


def holds_against(unit: Unit, request: api.Request) -> list[api.Hold]:
    """Return the holds that stop something of what a request asks for."""
    return api.holds_against(unit, request)


def roles(unit: Unit, ranked: list[api.Suggestion]) -> list[Role]:
    """Return the ranked roles with what each gives, and what it gives beyond the first, the narrowest."""
    lab = policy.current(unit).lab
    least = lab.entitlements[ranked[0].entitlement].actions if ranked else frozenset()
    return [_role(lab, one, least) for one in ranked]


def _role(lab: policy.Lab, one: api.Suggestion, least: frozenset[str]) -> Role:
    entitlement = lab.entitlements[one.entitlement]
    return Role(
        entitlement=one.entitlement,
        name=one.name,
        description=entitlement.description,
        gives=tuple(sorted(entitlement.actions)),
        beyond=tuple(sorted(entitlement.actions - least)),
        others=(one.excess + 1) // max(len(entitlement.actions), 1) - 1,
        people=sum(slot.count for slot in one.slots),
        teams=tuple(lab.teams[slot.team].name if slot.team in lab.teams else slot.team for slot in one.slots),
        max=one.max,
        broad=one.broad,
    )


def _name(lab: policy.Lab, person: str) -> str:
    return lab.people[person].name if person in lab.people else person


def _role_name(lab: policy.Lab, entitlement: str) -> str:
    return lab.entitlements[entitlement].name if entitlement in lab.entitlements else entitlement
