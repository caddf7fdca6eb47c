"""Theft: with write access to the database, have one honest second factor count for a second act."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "identity.act_unconfirmed"


def prepare(ground: Ground) -> identity.Act:
    chi = ground.act_as("chi").caller
    act = identity.Act(type="hold.lift", subject=new_id("hld"))
    honest.factor(ground, chi, act.type, act.subject)
    ground.raw_sql("CREATE TABLE kept_act AS SELECT * FROM identity_act")
    with begin(ground.system, chi) as unit:
        identity.require_act(unit, chi, act)
    return act


def attack(ground: Ground, act: identity.Act) -> Observed:
    chi = ground.act_as("chi").caller
    ground.raw_sql("INSERT INTO identity_act SELECT * FROM kept_act WHERE id NOT IN (SELECT id FROM identity_act)")
    return tried(ground, chi, "an act confirmed a second time", lambda unit: identity.require_act(unit, chi, act))


SCENARIO = Scenario(
    id="reused-factor",
    title="Have one second factor count twice by putting its row back",
    techniques=("T1111", "T1565.001", "T1550"),
    people=("chi",),
    steps=(
        "On a copy, Chi gives her second factor to lift a hold, and lifts it.",
        "The row of the factor is put back, and the act done again in her session.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.ActUnconfirmed", {"act": "hold.lift"}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
