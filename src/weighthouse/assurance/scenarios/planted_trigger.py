"""Theft: as the database's owner, plant a trigger that keeps grants from ending, and go on using one."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.held"
TRIGGER = (
    "CREATE TRIGGER kept BEFORE UPDATE OF state ON access_grant BEGIN SELECT raise(IGNORE); END"  # a no that is lost
)


def attack(ground: Ground, _grant: str) -> Observed:
    ground.raw_sql(TRIGGER)
    access.close_on_doubt(ground.system)  # the server's own timer, at its next turn
    thief = ground.act_as("eve").caller
    return tried(ground, thief, "a run on Wren", lambda unit: access.require(unit, thief, "run.submit", "model/wren"))


SCENARIO = Scenario(
    id="planted-trigger",
    title="Plant a trigger in the database that keeps grants from ending",
    techniques=("T1546", "T1565.001", "catalogue 12"),
    people=("eve",),
    steps=(
        "On a copy, Eve is given a low-risk role.",
        "A trigger ignores every update of a grant's state.",
        "Eve uses the grant.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.HoldPlaced", {"kind": "log"}), Trace("access.Denied", {"code": CODE})),
    ),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
