"""Theft: as whoever trains a model, destroy a checkpoint of it, asking nobody."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.weights import api as weights

CODE = "access.no_grant"


def prepare(ground: Ground) -> Saving:
    made = saving.written(ground)
    saving.commit(ground, made)
    return made


def attack(ground: Ground, made: Saving) -> Observed:
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "the end of a checkpoint, by one person",
        lambda unit: weights.destroy(unit, thief, made.version, "Nobody will miss it."),
    )


SCENARIO = Scenario(
    id="lone-destroyer",
    title="Destroy a checkpoint alone, with the grant to train",
    techniques=("T1485", "T1078"),
    people=("eve",),
    steps=(
        "On a copy, a run of Eve's saves a checkpoint of Wren, with a grant to train that nobody need approve.",
        "Eve orders its destruction.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "weights.destroy"}),),
        absent=(Trace("weights.DestructionOrdered", {}), Trace("weights.CheckpointDestroyed", {})),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=saving.over,
    on="copy",
)
