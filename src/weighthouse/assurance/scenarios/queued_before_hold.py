"""Theft: have a run wait in the queue while the data set that it reads is held, and start it then."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import emptied_stop, honest
from weighthouse.core.work import begin
from weighthouse.runs import api as runs

CODE = "runs.held"
DATA = "dataset/stdlib"


def prepare(ground: Ground) -> str:
    """Eve's run waits, for nothing executes runs on this copy yet."""
    honest.trainer(ground)
    eve = ground.act_as("eve").caller
    with begin(ground.system, eve) as unit:
        return runs.submit(
            unit,
            eve,
            model="model/wren",
            environment=runs.environments(unit)[0].digest,
            command=("python", "main.py"),
            code={"main.py": "import time\nwhile True: time.sleep(1)\n"},
            dataset=DATA,
            parent=None,
            risk="low",
            egress_profile="none",
        ).id


def attack(ground: Ground, run: str) -> Observed:
    chi = ground.act_as("chi").caller
    with begin(ground.system, chi) as unit:
        access.place_hold(unit, chi, DATA, "An exercise: somebody has put something into this data.")
    with ground.executing():
        return emptied_stop.outlived(ground, run, "a run that reads the data that are held")


SCENARIO = Scenario(
    id="queued-before-hold",
    title="Start a run that was queued before the data set that it reads was held",
    techniques=("T1565", "T1053", "AML.T0020"),
    people=("eve", "chi"),
    steps=(
        "On a copy, Eve's run on Wren waits for its turn.",
        "Security holds the data set that it reads, which somebody has poisoned.",
        "The run's turn comes.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="runs",
        code=CODE,
        traces=(Trace("runs.RunFailed", {"code": CODE}),),
        absent=(Trace("runs.RunStarted", {}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
