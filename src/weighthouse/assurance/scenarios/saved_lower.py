"""Theft: load Tern, leave the parent out, and save it as a model of a lesser class, which more people may load."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import lesser, saving
from weighthouse.assurance.scenarios.lesser import Laid
from weighthouse.core.errors import WeighthouseError

CODE = "weights.class_lowered"


def attack(ground: Ground, laid: Laid) -> Observed:
    lesser.load(ground, laid)
    try:
        draft = saving.write(ground, laid.run, "", lesser.PLOVER)
        saving.commit(ground, draft)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot="Tern as a version of Plover")


SCENARIO = Scenario(
    id="saved-lower",
    title="Save frontier weights as a model of a lesser class, naming no parent",
    techniques=("T1036", "T1565.001", "AML.T0018"),
    people=lesser.PEOPLE,
    steps=(
        "On a copy, the lab has Plover beside Tern, of a lesser class; Eve may save it without anybody's approval.",
        "A run on Plover loads Tern, which Eve may, and saves what it loaded as Plover.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="weights",
        code=CODE,
        traces=(Trace("weights.ManifestRefused", {"code": CODE}),),
        absent=(Trace("weights.CheckpointSealed"),),
    ),
    prepare=lesser.lay,
    attack=attack,
    cleanup=lesser.over,
    on="copy",
)
