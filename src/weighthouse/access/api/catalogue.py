"""Search and advice. Guards people from asking for too much, and the catalogue from those who may not see it.

Nothing here grants or submits anything: an advisor that could would be a way round the approvers.
"""

from __future__ import annotations

from weighthouse.access.api.decision import judge
from weighthouse.access.api.facts import index_of, member
from weighthouse.access.api.held import free_person
from weighthouse.access.model import Found, Names, Suggestion
from weighthouse.access.rules import advisor
from weighthouse.access.rules.advisor import Thing
from weighthouse.core.caller import Caller
from weighthouse.core.errors import NotFound
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def search(unit: Unit, caller: Caller, text: str, limit: int | None = 20) -> list[Found]:
    """Resources that match every word of `text`, best first, of those whose catalogue entry the caller may see; all
    of them where no limit is given."""
    bundle = policy.current(unit)
    person = free_person(unit, bundle, caller, "catalogue.read", "lab")
    one = member(unit, bundle, person)
    teams = one.teams if one is not None else frozenset()
    index = index_of(bundle)
    things = (
        Thing(
            id=resource.id,
            name=resource.name,
            kind=resource.kind,
            description=resource.description,
            cls=resource.cls,
            environment=resource.environment,
            tags=resource.tags,
        )
        for resource in bundle.lab.resources.values()
        if resource.id != policy.LAB_RESOURCE and teams & index.standing_teams("catalogue.read", resource)
    )
    return advisor.search(things, text[:200], limit)


def advise(unit: Unit, caller: Caller, resource: str, action: str | None = None) -> list[Suggestion]:
    """Entitlements that the caller may ask for and that open `resource`, narrowest first. Words only."""
    bundle = policy.current(unit)
    person = free_person(unit, bundle, caller, "catalogue.read", resource)
    if not judge(unit, caller, "catalogue.read", resource, {}).allowed:
        raise NotFound(
            "access.no_such_resource", "There is no such resource.", "Search for it; names are spelt as in the lab."
        )
    one = member(unit, bundle, person)
    teams = one.teams if one is not None else frozenset()
    ranked = advisor.advise(index_of(bundle).candidates(), resource, action)
    return [one for one in ranked if bundle.lab.entitlements[one.entitlement].eligible_teams & teams]


def names(unit: Unit) -> Names:
    """What people, teams and roles are called. Names are no secret from whoever has signed in."""
    lab = policy.current(unit).lab
    return Names(
        people={one.id: one.name for one in lab.people.values()},
        teams={one.id: one.name for one in lab.teams.values()},
        roles={one.id: one.name for one in lab.entitlements.values()},
    )
