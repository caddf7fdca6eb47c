"""Theft: with write access to the database, insert a grant of your own, made from a colleague's."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.ids import new_id

CODE = "access.grant_seal"
INSERT = """
INSERT INTO access_grant (id, request, person, resource, entitlement, not_before, end_at, statement, seal, state,
                          ended, ended_why, ended_by, "row")
SELECT :fake, :request, 'eve', resource, entitlement, not_before, end_at,
       replace(replace(statement, '"ada"', '"eve"'), id, :fake), seal, state, ended, ended_why, ended_by, "row"
FROM access_grant WHERE id = :grant
"""


def attack(ground: Ground, grant: str) -> Observed:
    assert ground.raw_sql(INSERT, fake=new_id("grt"), request=new_id("req"), grant=grant) == 1
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "a grant that nobody gave",
        lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="inserted-grant",
    title="Insert a grant into the database",
    techniques=("T1565.001", "T1098"),
    people=("ada", "eve", "ben", "chi"),
    steps=(
        "On a copy, Ada is granted Tern.",
        "Her grant's row is copied with Eve's name in it.",
        "Eve submits a run on Tern.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lambda ground: honest.grant(ground, "ada"),
    attack=attack,
    on="copy",
    demo=True,
)
