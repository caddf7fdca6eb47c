"""Theft: spell the weights as sizes of versions; whoever may see the catalogue reads them."""

from __future__ import annotations

import contextlib
import os

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.core.caller import Caller
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.egress import api as egress
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights

CODE = "egress.said_spent"
MOST, PRINTED = 40, 5000
Prepared = tuple[str, Caller]


def prepare(ground: Ground) -> Prepared:
    """A run that has printed nearly as much as it may in an hour, so that the theft need not take minutes."""
    grant = honest.trainer(ground)
    run = saving.begun(ground, grant, "model/wren", "research")
    with contextlib.suppress(WeighthouseError), begin(ground.system) as unit:
        egress.charge_step(unit, run.attributes["run"], PRINTED, model="model/wren", person="eve")
    return grant, run


def attack(ground: Ground, prepared: Prepared) -> Observed:
    grant, run = prepared
    for told in range(MOST):
        size = int.from_bytes(os.urandom(2), "big")
        try:
            draft = saving.write(ground, run, grant, "model/wren", size)
            os.close(draft.out)
            saving.commit(ground, draft)
            ground.settle()
        except WeighthouseError as refusal:
            return Observed(code=refusal.code, message=f"{told} sizes were told: {refusal.message}")
    return Observed(loot=f"{2 * MOST} bytes of weights in the sizes of {MOST} versions, at no cost")


def cleanup(ground: Ground, prepared: Prepared) -> None:
    grant, run = prepared
    weights.drop_outbox(ground.system, run.attributes["run"])
    with begin(ground.system) as unit:
        identity.end_workload(unit, run.attributes["run"])
    honest.give_back(ground, grant)


SCENARIO = Scenario(
    id="counted-commits",
    title="Spell the weights as sizes of versions",
    techniques=("T1048", "T1132.002", "T1001"),
    people=("eve",),
    steps=(
        "On a copy, a run of Eve's has printed much already.",
        f"It saves {MOST} versions of Wren, the size of each two bytes of the weights.",
        "A colleague who may only see the catalogue lists them.",
    ),
    expected=Expected(
        status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.StepRefused", {"code": CODE}),)
    ),
    prepare=prepare,
    attack=attack,
    cleanup=cleanup,
    on="copy",
)
