"""Theft: with write access to the database, have it lose the committee's calls for a hold, then export."""

from __future__ import annotations

import contextlib

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import new_id

CODE = "access.held"
MODEL = "model/tern"
APPROVERS, MEMBERS = ("ben", "chi", "gil"), ("hana", "ivo")
LOSE = """
CREATE TRIGGER lose BEFORE INSERT ON log_entry WHEN NEW.kind IN ('governance.HoldCalled', 'access.HoldPlaced')
BEGIN SELECT RAISE(IGNORE); END
"""
Operation = dict[str, str]


def prepare(ground: Ground) -> Operation:
    """Eve's export of a version of Tern is approved by three people."""
    version, destination = new_id("ver"), "x25519:" + "09" + "00" * 31
    request = honest.ask(ground, "eve", "tern-export", version=version, destination=destination)
    for person in APPROVERS:
        honest.vote(ground, person, request)
    return {"version": version, "destination": destination}


def attack(ground: Ground, operation: Operation) -> Observed:
    ground.raw_sql(LOSE)
    for member in MEMBERS:
        with contextlib.suppress(WeighthouseError):  # the change is refused, since its line is lost
            ground.call_hold(member, MODEL)
    ground.raw_sql("DELETE FROM governance_call")
    ground.raw_sql("DROP TRIGGER lose")
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "an export of Tern",
        lambda unit: access.require(unit, thief, "weights.export", MODEL, **operation),
    )


SCENARIO = Scenario(
    id="lost-call",
    title="Have the database lose the committee's calls for a hold, and export",
    techniques=("T1565.001", "T1562", "catalogue 53, C-12"),
    people=("eve", *APPROVERS, *MEMBERS),
    steps=(
        "On a copy, an export of Eve's is approved by three people.",
        "The database is made to lose each call for a hold, row and line; two members call.",
        "Eve exports Tern before any timer has looked.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "weights.export"}),),
        absent=(Trace("keys.KeyReleased"),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
