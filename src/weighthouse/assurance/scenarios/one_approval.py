"""Theft: use access that only one of two teams has approved."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.no_grant"


def prepare(ground: Ground) -> access.Request:
    request = honest.ask(ground, "eve")
    honest.vote(ground, "ben", request)
    return request


def attack(ground: Ground, _request: access.Request) -> Observed:
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "Tern, with one approval",
        lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="one-approval",
    title="Use access that one person alone has approved",
    techniques=("T1078", "catalogue 11"),
    people=("eve", "ben"),
    steps=("Eve asks to load Tern.", "The steward approves; security does not.", "Eve submits a run on Tern."),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "run.submit"}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=honest.withdraw,
    demo=True,
)
