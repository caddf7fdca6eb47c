"""Theft: put yesterday's memory of refusals back beside today's database, and use a grant that ended today."""

from __future__ import annotations

import shutil

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.forgetful_twin import KEEP, PUT_BACK
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.grant_ended"
FILES = ("refusals", "identity", "learnt")


def attack(ground: Ground, grant: str) -> Observed:
    memory = ground.system.settings.path("state") / "memory"
    yesterday = shutil.copytree(memory, memory.with_name("yesterday"))
    ground.raw_sql(KEEP)
    honest.give_back(ground, grant)
    for statement in PUT_BACK:
        ground.raw_sql(statement)
    for name in FILES:
        if (yesterday / name).is_file():
            shutil.copy(yesterday / name, memory / name)
    ground.raw_sql("DROP TABLE kept_grant")  # a table that is not the server's would put the log in doubt
    ground.start_anew()
    thief = ground.act_as("eve").caller
    return tried(ground, thief, "a run on Wren", lambda unit: access.require(unit, thief, "run.submit", "model/wren"))


SCENARIO = Scenario(
    id="restored-memory",
    title="Put yesterday's memory of refusals back, with a grant that ended since",
    techniques=("T1070", "T1565.001"),
    people=("eve",),
    steps=(
        "On a copy, Eve gives a grant back.",
        "Its row is put back, and the memories beside the database are those of before.",
        "The server is started again; Eve uses the grant.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
