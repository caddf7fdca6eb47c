"""Who can reach a resource. Guards the answer from those whom it does not concern: it is a list of whom to attack.

Complete or refused, never cut: those who own a resource, approve for it, guard it or read the log see everybody;
anybody else sees nobody, and is told whom to ask.
"""

from __future__ import annotations

from weighthouse.access.api.decision import authorise
from weighthouse.access.api.facts import index_of, member
from weighthouse.access.api.held import free_person
from weighthouse.access.api.requests import refuse
from weighthouse.access.api.verifying import standing_of
from weighthouse.access.model import Access
from weighthouse.access.store import grants as rows
from weighthouse.core.caller import Caller
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def who_has(unit: Unit, caller: Caller, resource: str) -> list[Access]:
    """Everybody who can reach a resource now, complete: by grant, and by what stands for their team.

    Raises NotFound `access.no_such_resource`; Denied `access.not_yours_to_see` for who does not answer for it.
    """
    bundle = policy.current(unit)
    person = free_person(unit, bundle, caller, "resource.who", resource)
    if resource not in bundle.lab.resources or not _answers(unit, bundle, person, resource):
        authorise(unit, caller, "catalogue.read", resource)
        raise refuse(
            bundle, caller, "resource.who", resource, "access.not_yours_to_see",
            "Who can reach this is for those who own it, approve for it, guard it or read the log.",
            f"Ask somebody of the team '{bundle.lab.resources[resource].owner_team}', which owns it.",
        )  # fmt: skip
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


def _answers(unit: Unit, bundle: policy.Bundle, person: str, resource: str) -> bool:
    one = member(unit, bundle, person)
    return one is not None and bool(one.teams & index_of(bundle).answering(bundle.lab.resources[resource]))


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
