"""Theft: put yesterday's key file back, from before a minimum was raised, and open what only old versions open."""

from __future__ import annotations

import shutil

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import begin
from weighthouse.keys import api as keys
from weighthouse.weights import api as weights

CODE = "keys.rolled_back"
TERN = "model/tern"


def prepare(ground: Ground) -> Saving:
    made = saving.written(ground, honest.grant(ground, "eve", "tern-train"), TERN, "frontier")
    saving.commit(ground, made)
    return made


def attack(ground: Ground, made: Saving) -> Observed:
    file = ground.system.settings.path("state") / "keys" / "sealed.json"
    yesterday = shutil.copy(file, file.with_name("yesterday"))
    with begin(ground.system, SYSTEM) as unit:  # a key file leaked: from now on its versions open nothing
        keys.set_minimum(unit, SYSTEM, TERN, keys.rotate(unit, SYSTEM, TERN))
    shutil.copy(yesterday, file)
    ground.start_anew()
    saving.lent(ground, made.run)
    return tried(
        ground,
        made.run,
        "the data keys of Tern, under a version that is no longer accepted",
        lambda unit: weights.begin_load(unit, made.run, made.version),
    )


SCENARIO = Scenario(
    id="rolled-back-keys",
    title="Put yesterday's key file back, from before a minimum was raised",
    techniques=("T1565.001", "T1070", "T1555"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, a run of Eve's saves a checkpoint of Tern.",
        "Tern's key is rotated and the minimum raised: what the old version wrapped opens no more.",
        "The key file of before is put back and the server started again; Eve's run asks for the keys.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="keys",
        code=CODE,
        traces=(Trace("keys.KeyRefused", {"code": CODE, "model": TERN}),),
        absent=(Trace("keys.KeyReleased", {}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=saving.over,
    on="copy",
)
