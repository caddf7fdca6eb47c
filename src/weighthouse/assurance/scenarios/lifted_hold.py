"""Theft: an administrator lifts the committee's hold on a release by himself."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin

CODE = "access.hold_needs_committee"


def prepare(ground: Ground) -> str:
    chair = ground.act_as("gil").caller
    with begin(ground.system, chair) as unit:
        hold = access.place_hold(
            unit, chair, "model/tern", "An exercise.", actions=("weights.export",), kind="governance"
        )
        return str(hold.id)


def attack(ground: Ground, hold: str) -> Observed:
    thief = ground.act_as("dee").caller
    return tried(
        ground,
        thief,
        "the release of Tern",
        lambda unit: access.lift_hold(unit, thief, hold, "Management wants it out today."),
    )


SCENARIO = Scenario(
    id="lifted-hold",
    title="Lift the committee's hold as an administrator",
    techniques=("T1562", "catalogue 53, C-12"),
    people=("gil", "dee"),
    steps=("On a copy, the chair holds Tern's release.", "The platform administrator lifts the hold."),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=attack,
    on="copy",
    demo=True,
)
