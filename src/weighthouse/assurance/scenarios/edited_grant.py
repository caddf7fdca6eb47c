"""Theft: with write access to the database, stretch a grant that is about to end."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.grant_row_differs"
STRETCH = "UPDATE access_grant SET end_at = end_at + 31536000000 WHERE id = :grant"


def attack(ground: Ground, grant: str) -> Observed:
    assert ground.raw_sql(STRETCH, grant=grant) == 1
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "a grant for a year",
        lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="edited-grant",
    title="Stretch a grant by editing its row",
    techniques=("T1565.001", "catalogue 12"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve is granted Tern for an hour.",
        "The row's end is moved a year ahead.",
        "Eve submits a run on Tern.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lambda ground: honest.grant(ground, "eve"),
    attack=attack,
    on="copy",
    demo=True,
)
