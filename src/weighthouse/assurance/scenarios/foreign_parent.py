"""Theft: name a version of a frontier model as the parent of a run on a small one, and read what lies there."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.runs import api as runs

CODE = "access.no_grant"
Prepared = tuple[Saving, str]


def prepare(ground: Ground) -> Prepared:
    """A run of Eve's saves a checkpoint of Tern, under a grant that she has; her run on Wren has Wren's alone."""
    tern = saving.written(ground, honest.grant(ground, "eve", "tern-train"), "model/tern", "frontier")
    saving.commit(ground, tern)
    return tern, honest.trainer(ground)


def attack(ground: Ground, prepared: Prepared) -> Observed:
    eve = ground.act_as("eve").caller
    return tried(
        ground,
        eve,
        "a run on Wren that finds Tern's files at /in",
        lambda unit: runs.submit(
            unit,
            eve,
            model="model/wren",
            environment=runs.environments(unit)[0].digest,
            command=("python", "main.py"),
            code={"main.py": "import os; print(os.listdir('/in'))"},
            dataset="dataset/stdlib",
            parent=prepared[0].version,
            risk="low",
            egress_profile="none",
        ),
    )


def cleanup(ground: Ground, prepared: Prepared) -> None:
    saving.over(ground, prepared[0])
    honest.give_back(ground, prepared[1])


SCENARIO = Scenario(
    id="foreign-parent",
    title="Name a frontier model's version as the parent of a run on a small one",
    techniques=("T1565", "T1530", "AML.T0035"),
    people=("eve", "ben", "chi"),
    steps=(
        "A checkpoint of Tern lies in the registry.",
        "Eve submits a run on Wren and names it as the parent.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="runs",
        code=CODE,
        traces=(Trace("runs.ReferenceRefused", {"field": "parent", "code": CODE}),),
        absent=(Trace("runs.RunSubmitted"),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=cleanup,
    on="copy",
)
