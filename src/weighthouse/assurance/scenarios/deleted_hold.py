"""Theft: with write access to the database, delete the committee's hold, then export."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import lifted_hold
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.held"


def attack(ground: Ground, hold: str) -> Observed:
    assert ground.raw_sql("DELETE FROM access_hold WHERE id = :hold", hold=hold) == 1
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "an export of Tern",
        lambda unit: access.require(unit, thief, "weights.export", "model/tern"),
    )


SCENARIO = Scenario(
    id="deleted-hold",
    title="Delete the committee's hold from the database",
    techniques=("T1565.001", "catalogue 53, C-12"),
    people=("gil", "eve"),
    steps=("On a copy, the chair holds Tern's release.", "The hold's row is deleted.", "Eve exports Tern."),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lifted_hold.prepare,
    attack=attack,
    on="copy",
    demo=True,
)
