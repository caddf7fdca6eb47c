"""Theft: give a grant back, put yesterday's whole state folder in place, and use the grant again."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.audit import api as audit

CODE = "access.held"


def attack(ground: Ground, grant: str) -> Observed:
    yesterday = ground.backup()
    with ground.witnessed():
        honest.give_back(ground, grant)
        audit.ask_witnesses(ground.system)
        ground.restore(yesterday)
        audit.ask_witnesses(ground.system)  # as a server does before it serves
        access.close_on_doubt(ground.system)
    thief = ground.act_as("eve").caller
    return tried(ground, thief, "a run on Wren", lambda unit: access.require(unit, thief, "run.submit", "model/wren"))


SCENARIO = Scenario(
    id="restored-yesterday",
    title="Put yesterday's whole state folder back, with a grant that was given back since",
    techniques=("T1565.001", "T1070", "catalogue 48"),
    people=("eve",),
    steps=(
        "On a copy with an outside witness, Eve gives a grant back.",
        "Database and memories of before are put back, all of them.",
        "The witness has seen more; Eve uses the grant.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("audit.WitnessRefused"),
            Trace("access.HoldPlaced", {"kind": "log"}),
            Trace("access.Denied", {"code": CODE}),
        ),
    ),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
