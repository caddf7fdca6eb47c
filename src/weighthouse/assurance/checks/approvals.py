"""E-01: two distinct eligible approvers on every grant on weights, none of them the requester.

Guards the two-person rule from being true in the policy only. It counts the signed votes in the log, not what the
grant says about itself, and judges eligibility by the teams of the slots under the policy in force now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from weighthouse.assurance.checks.facts import Fact, finding
from weighthouse.assurance.model import Finding
from weighthouse.policy import api as policy

GRANT, VOTE = "access.GrantStarted", "access.VoteCast"
KINDS = (GRANT, VOTE)
LEAST_APPROVERS = 2


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """Of the lab: the sensitive models, the people who may approve each entitlement, as the policy has it."""

    weights: frozenset[str]
    eligible: Mapping[str, frozenset[str]]


def directory(lab: policy.Lab) -> Directory:
    """Return what the check needs of the lab. A model is in scope when its class demands two people."""
    return Directory(
        weights=frozenset(
            one.id
            for one in lab.resources.values()
            if one.kind == "model" and lab.classes[one.cls].approvals.people >= LEAST_APPROVERS
        ),
        eligible={
            name: frozenset(person.id for slot in one.requires for person in lab.members(slot.team))
            for name, one in lab.entitlements.items()
        },
    )


def approvers(grant: Fact, votes: Sequence[Fact], known: Directory) -> frozenset[str]:
    """Return the distinct eligible people other than the requester whose approving vote named this very request."""
    eligible = known.eligible.get(str(grant.data.get("entitlement")), frozenset())
    return frozenset(
        str(vote.data.get("voter"))
        for vote in votes
        if vote.index < grant.index or vote.at <= grant.at
        if vote.data.get("request_id") == grant.data.get("request_id")
        and vote.data.get("request_digest") == grant.data.get("request_digest")
        and vote.data.get("verdict") == "approve"
        and vote.data.get("voter") in eligible
        and vote.data.get("voter") != grant.data.get("principal")
    )


def compute(facts: Sequence[Fact], known: Directory) -> Finding:
    """Compute the check over the grants started and votes cast in the period."""
    votes = [one for one in facts if one.kind == VOTE]
    grants = [one for one in facts if one.kind == GRANT and one.data.get("resource") in known.weights]
    failing = [one.index for one in grants if len(approvers(one, votes, known)) < LEAST_APPROVERS]
    return finding(
        grants,
        failing,
        f"All {len(grants)} grants on guarded weights had at least two distinct eligible approvers, none of them "
        "the requester.",
        f"{len(failing)} of {len(grants)} grants on guarded weights lack two distinct eligible approvers.",
        "No grant on guarded weights began in the period.",
    )
