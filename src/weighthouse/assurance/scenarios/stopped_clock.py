"""Theft: go on past the end of one's time, while the server that would end it stands still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, RunOutcome, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.frozen_guard import freeze
from weighthouse.assurance.scenarios.thief import appeared, ran
from weighthouse.audit import api as audit
from weighthouse.core.work import read
from weighthouse.runs import api as runs

CODE = "runs.out_of_time"
GRANTED_S = 16
LATE_S = 7.0  # what the keeper of a run waits for the server, and two seconds for a slow machine
REALLY_LATE_S = LATE_S + 4
SOURCE = """
import json, os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM): signal.signal(number, signal.SIG_IGN)
def report(**found): print("ATTACK " + json.dumps(found), flush=True)
while True:
    report(alive=time.time()); time.sleep(0.2)
"""


def attack(ground: Ground, _grant: str) -> Observed:
    with read(ground.system) as unit:
        since = audit.head(unit).size
    found: list[RunOutcome] = []
    running = threading.Thread(target=lambda: found.append(ground.submit_attack_run(SOURCE, GRANTED_S)))
    began = time.time()
    running.start()
    if appeared(ground, "runs.RunStarted", since, running.is_alive) and _speaks(ground, running.is_alive):
        freeze(max(0, int((began + GRANTED_S + REALLY_LATE_S - time.time()) * 1_000_000)))
    running.join()
    if not found:
        not_here("a run that goes on")
    last = float(ran(found[0])["alive"])
    if last > began + GRANTED_S + LATE_S:
        return Observed(loot=f"{last - began - GRANTED_S:.0f} s more than the run was granted")
    with read(ground.system) as unit:
        ends = audit.entries(unit, kind="runs.RunFailed", subject=found[0].run, limit=2)
    code = str(ends[0].data["code"]) if len(ends) == 1 else ""
    return Observed(code=code, message=f"Its last word came {last - began:.1f} s after it was submitted.")


def _speaks(ground: Ground, going: Callable[[], bool]) -> bool:
    """Wait, while the attack is `going`, for the first word of the newest run: on record is not yet on its way."""
    eve = ground.act_as("eve").caller
    while going():
        with read(ground.system, eve) as unit:
            run = audit.entries(unit, kind="runs.RunStarted", newest_first=True, limit=1)[0].subject
            if any(line.text.startswith("ATTACK ") for line in runs.logs(unit, eve, run)):
                return True
        time.sleep(0.05)
    return False


SCENARIO = Scenario(
    id="stopped-clock",
    title="Go on past one's time while the server stands still",
    techniques=("T1499.001", "T1562.001", "T1489"),
    people=("eve",),
    steps=(
        "A run that is granted sixteen seconds goes on and ignores every signal it can.",
        "The server stands still until well after that, as if starved or stopped.",
    ),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(Trace("runs.RunFailed"),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
)
