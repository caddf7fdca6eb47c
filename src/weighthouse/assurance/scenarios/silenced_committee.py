"""Theft: as one security engineer, stop the members of the committee so that nobody can hold or decide anything."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.caller import Caller
from weighthouse.detect import api as detect
from weighthouse.policy import api as policy

CODE = "access.committee_silenced"
SPARED = "access.committee_not_held"
WHY = "An exercise of the red team: odd sign-ins."


def attack(ground: Ground, _prepared: None) -> Observed:
    thief = ground.act_as("chi").caller
    acts = ("committee.hold", "committee.vote")
    at_once = tried(
        ground,
        thief,
        "the voice of the whole committee",
        lambda unit: access.place_hold(unit, thief, policy.LAB_RESOURCE, WHY, actions=acts),
    )
    if at_once.code != SPARED:
        return at_once
    first = _frozen(ground, thief, "ivo")
    return _frozen(ground, thief, "gil") if first.loot else first


def _frozen(ground: Ground, thief: Caller, member: str) -> Observed:
    return tried(
        ground,
        thief,
        "a committee of which too few are left to decide",
        lambda unit: detect.freeze(unit, thief, member, WHY),
    )


SCENARIO = Scenario(
    id="silenced-committee",
    title="Silence the committee as one security engineer",
    techniques=("T1531", "T1562", "catalogue 53, C-12"),
    people=("chi", "gil", "ivo"),
    steps=(
        "On a copy, Chi places a hold on the lab that names the acts of the committee.",
        "Chi freezes one member after another, until too few are left to decide.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("access.Denied", {"code": CODE, "principal": "chi", "resource": "gil"}),
            Trace("access.Denied", {"code": SPARED, "principal": "chi"}),
        ),
        absent=(Trace("identity.PersonFrozen", {"principal": "gil"}), Trace("access.HoldPlaced", {})),
    ),
    attack=attack,
    on="copy",
)
