"""Theft: with write access to the database, have the line of a lifted hold vanish between its commit and the log."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin

CODE = "audit.line_not_kept"
SWALLOW = """
CREATE TRIGGER swallow BEFORE INSERT ON log_entry WHEN NEW.kind = 'access.HoldLifted'
BEGIN SELECT RAISE(IGNORE); END
"""


def prepare(ground: Ground) -> str:
    chi = ground.act_as("chi").caller
    with begin(ground.system, chi) as unit:
        return str(access.place_hold(unit, chi, "model/wren", "An exercise: the data set is being looked at.").id)


def attack(ground: Ground, hold: str) -> Observed:
    ground.raw_sql(SWALLOW)
    thief = ground.act_as("chi").caller
    signed = honest.opening(ground, "chi", "hold.lift", hold)  # the right person, rightly: only the line is missing
    return tried(
        ground,
        thief,
        "a hold that was lifted without a line",
        lambda unit: access.lift_hold(unit, thief, hold, "Nobody will ever read this.", signed=signed),
    )


SCENARIO = Scenario(
    id="lost-line",
    title="Have the line of an act vanish on its way into the log",
    techniques=("T1070", "T1562.008", "T1565.001"),
    people=("chi",),
    steps=(
        "On a copy, security holds Wren.",
        "A trigger is planted that swallows every line about a lifted hold.",
        "The hold is lifted, and must not be.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="audit",
        code=CODE,
        traces=(Trace("audit.LineNotKept"),),
        absent=(Trace("access.HoldLifted"),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
