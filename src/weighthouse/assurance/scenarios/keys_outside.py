"""Theft: with a grant to load inside a run, ask for the data keys outside of any, where nothing holds them."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.weights import api as weights
from weighthouse_sdk.checkpoint_binding import Recipient

CODE = "access.outside_run"


def prepare(ground: Ground) -> Saving:
    made = saving.written(ground, honest.grant(ground, "eve", "tern-train"), "model/tern", "frontier")
    saving.commit(ground, made)
    return made


def attack(ground: Ground, made: Saving) -> Observed:
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "every data key of a version of Tern, on a laptop",
        lambda unit: weights.begin_load(unit, thief, made.version, Recipient().public),
    )


SCENARIO = Scenario(
    id="keys-outside",
    title="Ask for the keys of Tern outside of any run, with a grant to load it inside one",
    techniques=("T1555.006", "T1078", "AML.T0035"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve is granted Tern by both teams, and a run of hers saves a checkpoint.",
        "She has a copy of the ciphertext; in her own session she asks for its data keys.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "weights.load"}),),
        absent=(Trace("keys.KeyReleased", {}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=saving.over,
    on="copy",
)
