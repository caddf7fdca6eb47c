"""Theft: go on using a grant after its end, while nothing has cleaned it up."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import HOUR, MINUTE

CODE = "access.grant_expired"


def prepare(ground: Ground) -> str:
    found = honest.grant(ground, "eve", hold=HOUR)
    ground.later(HOUR + MINUTE)
    return found


def attack(ground: Ground, _grant: str) -> Observed:
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "Tern, after the end of the grant",
        lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="expired-grant",
    title="Use a grant after its end",
    techniques=("T1548.005", "catalogue 13"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy of the system, Eve is granted Tern for an hour by both teams.",
        "An hour and a minute pass; no job has marked the grant as ended.",
        "Eve submits a run on Tern.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=attack,
    on="copy",
    demo=True,
)
