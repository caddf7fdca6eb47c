"""Theft: with write access to the database, put the rows of a frozen person back and let the server tidy up."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "access.person_inactive"
KEEP = (
    "CREATE TABLE kept_principal AS SELECT * FROM identity_principal",
    "CREATE TABLE kept_session AS SELECT * FROM identity_session",
)
PUT_BACK = (
    "DELETE FROM identity_principal",
    "DELETE FROM identity_session",
    "INSERT INTO identity_principal SELECT * FROM kept_principal",
    "INSERT INTO identity_session SELECT * FROM kept_session",
)


def prepare(ground: Ground) -> None:
    honest.grant(ground, "eve")
    for statement in KEEP:
        ground.raw_sql(statement)
    with begin(ground.system) as unit:
        identity.freeze(unit, "eve", "Odd reads at night.", ground.act_as("chi").caller)


def attack(ground: Ground, _prepared: None) -> Observed:
    thief = ground.act_as("eve").caller
    for statement in PUT_BACK:
        ground.raw_sql(statement)
    identity.tidy(ground.system)
    return tried(
        ground,
        thief,
        "Tern, as somebody who is frozen",
        lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="thawed-person",
    title="Thaw oneself by putting one's old rows back",
    techniques=("T1565.001", "T1098"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve is granted Tern, and frozen.",
        "Her rows of before the freeze are put back, and the server tidies up.",
        "Eve submits a run on Tern.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE}), Trace("identity.PersonFrozen", {"by": "system"})),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
