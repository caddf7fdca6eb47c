"""What pages of access show, put together from what the room and the policy say. Guards templates from deciding.

Every name in plain words comes from the signed lab configuration; what the reader may not know of is 404.
"""

from __future__ import annotations

import msgspec

from weighthouse.access import api
from weighthouse.access.rules.matching import fill
from weighthouse.core import canonical
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import NotFound
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


class SlotView(msgspec.Struct, frozen=True, kw_only=True):
    """One place to be filled, and by whom it was."""

    name: str
    team: str
    voter: str = ""
    at: Millis = 0
    how: str = ""


class CardView(msgspec.Struct, frozen=True, kw_only=True):
    """The approval card as its page shows it. `statement` is the text that a device completes and signs."""

    request: api.Request
    requester: str
    name: str
    lines: tuple[str, ...]
    unusual: tuple[str, ...]
    alternatives: tuple[api.Suggestion, ...]
    slots: tuple[SlotView, ...]
    denials: tuple[SlotView, ...]
    missing: tuple[str, ...]
    digest: str
    policy_digest: str
    statement: str
    at: Millis
    may_vote: bool
    mine: bool
    signature: str


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
    lab = policy.current(unit).lab
    request = made.request
    return CardView(
        request=request,
        requester=_name(lab, request.person),
        name=_role_name(lab, request.entitlement),
        lines=made.lines,
        unusual=made.unusual,
        alternatives=made.alternatives,
        slots=_slots(lab, made),
        denials=tuple(
            SlotView(name="", team="", voter=_name(lab, vote.voter), at=vote.at, how=vote.comment)
            for vote in made.votes
            if vote.verdict == "deny"
        ),
        missing=made.missing,
        digest=made.digest,
        policy_digest=made.policy_digest,
        statement=canonical.encode(made.statement).decode(),
        at=made.statement["at"],
        may_vote=made.can_vote,
        mine=request.person == caller.principal,
        signature=request.vote_signature,
    )


def _slots(lab: policy.Lab, made: api.Card) -> tuple[SlotView, ...]:
    """Each seat once, with the vote that fills it by the matching that the decision itself uses."""
    given = {vote.voter: vote for vote in made.votes if vote.verdict == "approve"}
    teams = {voter: lab.people[voter].teams for voter in given if voter in lab.people}
    sitting = list(fill(made.request.slots, teams).filled)
    seats: list[SlotView] = []
    for slot in made.request.slots:
        for _ in range(slot.count):
            found = next((pair for pair in sitting if pair[0] == slot.name), None)
            if found is None:
                seats.append(SlotView(name=slot.name, team=slot.team))
                continue
            sitting.remove(found)
            vote = given[found[1]]
            how = "signed by their own device" if vote.kind == "device" else "attested by the server"
            seats.append(SlotView(name=slot.name, team=slot.team, voter=_name(lab, vote.voter), at=vote.at, how=how))
    return tuple(seats)


def _name(lab: policy.Lab, person: str) -> str:
    return lab.people[person].name if person in lab.people else person


def _role_name(lab: policy.Lab, entitlement: str) -> str:
    return lab.entitlements[entitlement].name if entitlement in lab.entitlements else entitlement
