"""Theft: have a whole minute's data keys before the clock strikes, and a whole minute's after it."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, saving
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.caller import Caller
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.work import Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.weights import api as weights

CODE = "keys.rate"
TERN = "model/tern"
SHARDS = 998  # with the index 999 data keys, of 2000 in a minute


def _ask(unit: Unit, run: Caller) -> object:
    weights.lenders(unit.system).keep(run.attributes["run"], saving.Keys())
    return weights.begin_save(unit, run, model=TERN, parent=None, shards=SHARDS)


def _to(ground: Ground, second: int) -> None:
    """Let time pass up to that second of a minute."""
    with read(ground.system) as unit:
        ground.later((second * SECOND - unit.now) % MINUTE)


def prepare(ground: Ground) -> tuple[str, Caller]:
    grant = honest.grant(ground, "eve", "tern-train")
    run = saving.begun(ground, grant, TERN, "frontier")
    _to(ground, 30)
    for _ in range(2):
        with begin(ground.system, run) as unit:
            _ask(unit, run)
    return grant, run


def attack(ground: Ground, prepared: tuple[str, Caller]) -> Observed:
    _, run = prepared
    _to(ground, 1)
    return tried(ground, run, "the data keys of two minutes in half of one", lambda unit: _ask(unit, run))


def over(ground: Ground, prepared: tuple[str, Caller]) -> None:
    grant, run = prepared
    with begin(ground.system) as unit:
        identity.end_workload(unit, run.attributes["run"])
    honest.give_back(ground, grant)


SCENARIO = Scenario(
    id="twice-at-the-stroke",
    title="Have a whole minute's data keys before the clock strikes, and a whole minute's after it",
    techniques=("T1555.006", "T1030"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, late in a minute, a run of Eve's is given nearly all the data keys that a minute allows.",
        "The clock strikes. The run asks for as many again.",
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
    cleanup=over,
    on="copy",
)
