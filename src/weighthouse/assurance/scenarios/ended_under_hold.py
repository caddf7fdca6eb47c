"""Theft: let a whole model be destroyed, and so a version of it that an incident is about, by an order of before."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE
from weighthouse.core.work import begin, read
from weighthouse.weights import api as weights

CODE, MODEL = "access.held", "model/wren"


def prepare(ground: Ground) -> Saving:
    ground.later(15 * MINUTE)  # nobody destroys what is in use, and the lab's own leases have run out by then
    held = saving.written(ground)
    saving.commit(ground, held)
    saving.over(ground, held)
    newest = saving.written(ground)
    saving.commit(ground, newest)
    request = honest.ask(ground, "eve", "wren-end", MODEL, newest=newest.version)
    for approver in ("ben", "chi"):
        honest.vote(ground, approver, request)
    eve, chi = ground.act_as("eve").caller, ground.act_as("chi").caller
    with begin(ground.system, eve) as unit:
        weights.destroy_model(unit, eve, MODEL, "The contract over its data has ended.")
    with begin(ground.system, chi) as unit:
        access.place_hold(unit, chi, held.version, "An exercise: an incident.", actions=("weights.export",))
    return newest


def attack(ground: Ground, made: Saving) -> Observed:
    ground.later(15 * MINUTE)  # by then the order is final
    weights.finish_models(ground.system)
    with read(ground.system, ground.act_as("eve").caller) as unit:
        state = weights.version(unit, ground.act_as("eve").caller, made.version).state
        told = audit.entries(unit, kind="weights.ModelDestructionUndone", subject=MODEL, limit=1)
    if state == "destroyed":
        return Observed(loot="the end of a model, and of what the incident is about")
    return Observed(code=str(told[0].data["code"]) if told else "", message=f"The model's newest version is {state}.")


SCENARIO = Scenario(
    id="ended-under-hold",
    title="Have a whole model destroyed though a version of it is held, by an order of before",
    techniques=("T1485", "T1070"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve's request to destroy the key of a model is approved by two, and she orders it.",
        "Security holds exports of an older version of it for an incident.",
        "The time of the order comes.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="weights",
        code=CODE,
        traces=(Trace("weights.ModelDestructionUndone", {"code": CODE, "by": "system"}),),
        absent=(Trace("keys.KekDestroyed", {}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=saving.over,
    on="copy",
)
