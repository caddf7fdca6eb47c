"""E-01: two distinct eligible approvers on every grant on weights, none of them the requester.

Guards the two-person rule from being true in the policy only. It counts the signed votes in the log, not what the
grant says about itself, and judges by the policy that was in force that day: what the class demanded when the grant
began, and whether each voter sat on a team of a slot when they voted. Who changes teams later changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from weighthouse.assurance.checks.facts import Fact, finding
from weighthouse.assurance.model import Finding
from weighthouse.policy import api as policy

GRANT, VOTE = "access.GrantStarted", "access.VoteCast"
LEAST_APPROVERS = 2


class Demand(msgspec.Struct, frozen=True):
    """How many people, of how many teams, a class wants at least."""

    people: int
    teams: int


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """Of the lab under one policy: the sensitive models with what their class demands, and for each entitlement the
    teams whose members each person may approve for."""

    weights: Mapping[str, Demand]
    seats: Mapping[str, Mapping[str, frozenset[str]]]


def directory(lab: policy.Lab) -> Directory:
    """Return what the check needs of the lab. A model is in scope when its class demands two people."""
    classes = {
        one.id: lab.classes[one.cls].approvals
        for one in lab.resources.values()
        if one.kind == "model" and lab.classes[one.cls].approvals.people >= LEAST_APPROVERS
    }
    seats: dict[str, dict[str, frozenset[str]]] = {}
    for name, one in lab.entitlements.items():
        seats[name] = {}
        for team in {slot.team for slot in one.requires}:
            for person in lab.members(team):
                seats[name][person.id] = seats[name].get(person.id, frozenset()) | {team}
    return Directory(weights={name: Demand(one.people, one.teams) for name, one in classes.items()}, seats=seats)


def approvers(grant: Fact, votes: Sequence[Fact], then: Mapping[str, Directory]) -> dict[str, frozenset[str]]:
    """Return the distinct people other than the requester whose approving vote named this very request, each with
    the teams of the entitlement's slots that they belonged to under the policy that they voted under."""
    entitlement = str(grant.data.get("entitlement"))
    found: dict[str, frozenset[str]] = {}
    for vote in votes:
        voter, known = str(vote.data.get("voter")), then.get(str(vote.data.get("policy_digest")))
        teams = known.seats.get(entitlement, {}).get(voter, frozenset()) if known is not None else frozenset()
        if (
            teams
            and (vote.index < grant.index or vote.at <= grant.at)
            and vote.data.get("request_id") == grant.data.get("request_id")
            and vote.data.get("request_digest") == grant.data.get("request_digest")
            and vote.data.get("verdict") == "approve"
            and voter != grant.data.get("principal")
        ):
            found[voter] = found.get(voter, frozenset()) | teams
    return found


def different_teams(members: Mapping[str, frozenset[str]]) -> int:
    """Return for how many different teams these people can stand, each person for one (bipartite matching)."""
    standing: dict[str, str] = {}

    def place(person: str, tried: set[str]) -> bool:
        for team in sorted(members[person] - tried):
            tried.add(team)
            if team not in standing or place(standing[team], tried):
                standing[team] = person
                return True
        return False

    return sum(place(person, set()) for person in sorted(members))


def holds(grant: Fact, votes: Sequence[Fact], then: Mapping[str, Directory], now: Directory) -> bool | None:
    """Return whether a grant had the approvals that its class demanded; None if it is not on guarded weights.

    A grant counts as on guarded weights if its model was guarded when it began, or is now: loosening a class takes no
    grant out of the check. One under a policy that this server cannot show does not hold.
    """
    resource, known = str(grant.data.get("resource")), then.get(str(grant.data.get("policy_digest")))
    demand = (known.weights.get(resource) if known is not None else None) or now.weights.get(resource)
    if demand is None:
        return None
    found = approvers(grant, votes, then)
    return len(found) >= max(demand.people, LEAST_APPROVERS) and different_teams(found) >= demand.teams


def compute(grants: Sequence[Fact], votes: Sequence[Fact], then: Mapping[str, Directory], now: Directory) -> Finding:
    """Compute the check over the grants started in the period. `then` maps a policy's digest to its directory."""
    on: dict[object, list[Fact]] = {}
    for vote in votes:
        on.setdefault(vote.data.get("request_id"), []).append(vote)
    judged = [(one, holds(one, on.get(one.data.get("request_id"), []), then, now)) for one in grants]
    guarded = [one for one, held in judged if held is not None]
    failing = [one.index for one, held in judged if held is False]
    return finding(
        guarded,
        failing,
        f"All {len(guarded)} grants on guarded weights had the approvers that their class demands, at least two, of "
        "the teams of that day, none of them the requester.",
        f"{len(failing)} of {len(guarded)} grants on guarded weights lack distinct eligible approvers.",
        "No grant on guarded weights began in the period.",
    )
