"""Theft: with write access to the database, put a revoked grant back and use it at another server."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin

CODE = "access.grant_ended"
KEEP = "CREATE TABLE kept_grant AS SELECT * FROM access_grant"
PUT_BACK = ("DELETE FROM access_grant", "INSERT INTO access_grant SELECT * FROM kept_grant")


def attack(ground: Ground, grant: str) -> Observed:
    ground.raw_sql(KEEP)
    thief = ground.act_as("eve").caller
    with ground.twin() as other:
        chi = ground.act_as("chi").caller
        with begin(ground.system, chi) as unit:
            access.revoke(unit, chi, grant, "An exercise: it is not needed any more.")
        for statement in PUT_BACK:
            ground.raw_sql(statement)
        other.settle()
        return tried(
            other,
            thief,
            "a grant that another server revoked",
            lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
        )


SCENARIO = Scenario(
    id="forgetful-twin",
    title="Use a revoked grant at a server that did not revoke it",
    techniques=("T1565.001", "T1548.005"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy with two servers, Eve is granted Tern.",
        "The grant is revoked at one server, and its row put back.",
        "Eve submits a run on Tern at the other.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lambda ground: honest.grant(ground, "eve"),
    attack=attack,
    on="copy",
)
