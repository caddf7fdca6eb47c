"""Theft: spell the weights as names of empty tensors, save them, and list the names on a laptop."""

from __future__ import annotations

import base64
import os

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.weights import api as weights

CODE = "egress.said_spent"
NAMES, EACH = 200, 720
Prepared = tuple[saving.Saving, weights.Version]


def prepare(ground: Ground) -> Prepared:
    """A run of Eve's saves a version of Wren that is nothing but names."""
    import numpy  # here, for it begins threads, and a server that is not attacked needs none of them

    grant = honest.trainer(ground)
    run = saving.begun(ground, grant, "model/wren", "research")
    spelt = {base64.b64encode(os.urandom(EACH), b"-_").decode(): numpy.zeros((0,), "uint8") for _ in range(NAMES)}
    draft = saving.write(ground, run, grant, "model/wren", tensors=spelt)
    version = saving.commit(ground, draft)
    ground.settle()
    return draft, version


def attack(ground: Ground, prepared: Prepared) -> Observed:
    eve = ground.act_as("eve").caller
    return tried(
        ground,
        eve,
        f"{NAMES * EACH} bytes of weights in the names of tensors, on a laptop",
        lambda unit: weights.describe(unit, eve, prepared[1].id),
    )


def cleanup(ground: Ground, prepared: Prepared) -> None:
    saving.over(ground, prepared[0])


SCENARIO = Scenario(
    id="spelt-names",
    title="Spell the weights as names of empty tensors, and list the names on a laptop",
    techniques=("T1048", "T1132.001", "T1001"),
    people=("eve",),
    steps=(
        f"On a copy, a run of Eve's saves a version of Wren with {NAMES} empty tensors.",
        f"The name of each spells {EACH} bytes of the weights.",
        "Eve lists the names outside of any run.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="egress",
        code=CODE,
        traces=(Trace("egress.StepRefused", {"code": CODE}),),
        absent=(Trace("weights.TensorsShown", {}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=cleanup,
    on="copy",
)
