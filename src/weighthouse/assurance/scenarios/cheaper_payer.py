"""Theft: order a run for a huge model, load a small one in it, and print: the huge one's budget pays."""

from __future__ import annotations

import tempfile
from pathlib import Path

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import lesser
from weighthouse.assurance.scenarios.lesser import Laid
from weighthouse.core.work import begin
from weighthouse.egress import api as egress

CODE = "egress.output_spent"
WANTED, PIECE = 64 * 1024, 512


def attack(ground: Ground, laid: Laid) -> Observed:
    run = laid.run.attributes["run"]
    with tempfile.TemporaryDirectory(prefix="wh-") as short:
        folder = Path(short)
        way = egress.open_way(
            ground.system, run=run, profile="none", model=lesser.PLOVER, person="eve", folder=folder,
            judge=folder / "judge", broker=folder / "broker",
        )  # fmt: skip
        try:
            lesser.load(ground, laid)
            kept = _print(ground, run)
        finally:
            egress.close_way(ground.system, way, "the attack ended")
    if kept >= WANTED // 2:
        return Observed(loot=f"{kept} bytes of Tern, at the cost of Plover")
    return Observed(code=CODE, message=f"{kept} bytes were kept, then no more.")


def _print(ground: Ground, run: str) -> int:
    """Say piece after piece as the runner charges lines of output; return the bytes that were kept."""
    for said in range(0, WANTED, PIECE):
        with begin(ground.system) as unit:
            if not egress.charge_output(unit, run, PIECE):
                return said
    return WANTED


SCENARIO = Scenario(
    id="cheaper-payer",
    title="Print a small frontier model from a run that was ordered for a huge lesser one",
    techniques=("T1048", "T1078", "AML.T0024"),
    people=lesser.PEOPLE,
    steps=(
        "On a copy, the lab has Plover beside Tern: 100 GiB, of a lesser class, in the same environment.",
        "A run on Plover loads Tern, which Eve may, and prints 64 KiB of it.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="egress",
        code=CODE,
        traces=(Trace("egress.PayerJoined", {"model": "model/tern"}), Trace("egress.OutputSpent")),
    ),
    prepare=lesser.lay,
    attack=attack,
    cleanup=lesser.over,
    on="copy",
)
