"""Theft: with write access to the database, have it forget every stop, so that a run outlives who stopped it."""

from __future__ import annotations

import time

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.core.work import begin, read
from weighthouse.runs import api as runs

CODE = "runs.stopped_by_person"
FORGETFUL = """
CREATE TRIGGER forgetful AFTER UPDATE OF stop_asked ON runs_run WHEN NEW.stop_asked <> ''
BEGIN UPDATE runs_run SET stop_asked = '', stopped_by = '', stop_text = '' WHERE id = NEW.id; END
"""
STARTS_S, OUTLIVES_S = 60.0, 20.0


def start(ground: Ground, code: str = "import time\nwhile True: time.sleep(1)\n") -> str:
    """Have Eve submit a run that never ends by itself, and wait until it works; return its id."""
    eve = ground.act_as("eve").caller
    with begin(ground.system, eve) as unit:
        found = runs.submit(
            unit,
            eve,
            model="model/wren",
            environment=runs.environments(unit)[0].digest,
            command=("python", "main.py"),
            code={"main.py": code},
            dataset="dataset/stdlib",
            parent=None,
            risk="low",
            egress_profile="none",
        )
    if state_of(ground, found.id, ("running",), STARTS_S).state != "running":
        not_here("a run that could start")
    return found.id


def state_of(ground: Ground, run: str, awaited: tuple[str, ...], seconds: float) -> runs.Run:
    """Return a run once it is in one of the states, or is over, or the seconds are."""
    eve, deadline = ground.act_as("eve").caller, time.monotonic() + seconds
    while True:
        with read(ground.system, eve) as unit:
            found = runs.get(unit, eve, run)
        if found.state in awaited or found.state not in runs.OPEN or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def outlived(ground: Ground, run: str, what: str) -> Observed:
    """Return how a run that must end now ended, or that it did not."""
    found = state_of(ground, run, (), OUTLIVES_S)
    if found.state in runs.OPEN:
        return Observed(loot=what)
    return Observed(code=found.reason, message=f"The run is {found.state}.")


def attack(ground: Ground, _prepared: object) -> Observed:
    with ground.executing():
        run = start(ground)
        ground.raw_sql(FORGETFUL)
        eve = ground.act_as("eve").caller
        with begin(ground.system, eve) as unit:
            runs.stop(unit, eve, run, "It reads what it should not.")
        return outlived(ground, run, "a run that went on after it was stopped")


SCENARIO = Scenario(
    id="emptied-stop",
    title="Have the database forget that a run was stopped",
    techniques=("T1565.001", "T1562.001"),
    people=("eve",),
    steps=(
        "On a copy, Eve's run works in the real sandbox.",
        "A trigger is planted that empties every stop.",
        "The run is stopped, and must end.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="runs",
        code=CODE,
        traces=(Trace("runs.RunStopped", {"why": CODE}), Trace("runs.StopAsked", {"kept": "False"})),
    ),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
