"""Theft: let a checkpoint that an incident is about be destroyed by an order of before."""

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

CODE = "access.held"


def prepare(ground: Ground) -> Saving:
    made = saving.written(ground)
    saving.commit(ground, made)
    request = honest.ask(ground, "eve", "wren-destroy", "model/wren", version=made.version)
    honest.vote(ground, "ben", request)
    eve, chi = ground.act_as("eve").caller, ground.act_as("chi").caller
    with begin(ground.system, eve) as unit:
        weights.destroy(unit, eve, made.version, "Made from data we may not keep.")
    with begin(ground.system, chi) as unit:
        access.place_hold(unit, chi, "model/wren", "An exercise: an incident.", actions=("weights.export",))
    return made


def attack(ground: Ground, made: Saving) -> Observed:
    ground.later(15 * MINUTE)  # by then the order is final
    weights.finish(ground.system)
    with read(ground.system, ground.act_as("eve").caller) as unit:
        state = weights.version(unit, ground.act_as("eve").caller, made.version).state
        told = audit.entries(unit, kind="weights.DestructionUndone", subject=made.version, limit=1)
    if state == "destroyed":
        return Observed(loot="the end of what the incident is about")
    return Observed(code=str(told[0].data["code"]) if told else "", message=f"The version is {state}.")


SCENARIO = Scenario(
    id="destroyed-under-hold",
    title="Have a checkpoint under an incident's hold destroyed, by an order of before",
    techniques=("T1485", "T1070"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve's request to destroy a checkpoint is approved, and she orders it.",
        "Security holds exports of the model for an incident.",
        "The time of the order comes.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="weights",
        code=CODE,
        traces=(Trace("weights.DestructionUndone", {"code": CODE, "by": "system"}),),
        absent=(Trace("weights.CheckpointDestroyed", {}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=saving.over,
    on="copy",
)
