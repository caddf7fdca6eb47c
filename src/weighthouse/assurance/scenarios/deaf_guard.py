"""Theft: make the server wait for an answer that never comes, so that nobody is left who could end the run."""

from __future__ import annotations

import time

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.emptied_stop import STARTS_S, outlived, start
from weighthouse.core.work import begin, read
from weighthouse.runs import api as runs

CODE = "runs.held"
ASKED_S = 2.0  # by then whoever watches the run has asked it to end
# The guard beside the code is stopped where the kernel lets it be, and every pipe towards it filled that can be had.
JAM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
filled = 0
for pid in (1, 2):
    if pid != os.getpid():
        try:
            os.kill(pid, signal.SIGSTOP)
            pipe = os.open(f"/proc/{pid}/fd/0", os.O_WRONLY | os.O_NONBLOCK)
            while True: filled += os.write(pipe, b"x" * 512)
        except OSError: pass
print("jammed", filled, flush=True)
while True: time.sleep(1)
"""


def attack(ground: Ground, _prepared: object) -> Observed:
    with ground.executing():
        run = start(ground, JAM)
        _jammed(ground, run)
        eve, chi = ground.act_as("eve").caller, ground.act_as("chi").caller
        with begin(ground.system, eve) as unit:
            runs.stop(unit, eve, run, "The seed is wrong.")
        time.sleep(ASKED_S)
        with begin(ground.system, chi) as unit:
            access.place_hold(unit, chi, "model/wren", "Something odd goes on in this run.")
        ground.settle()
        return outlived(ground, run, "a run that went on though its model is held")


def _jammed(ground: Ground, run: str) -> None:
    """Wait until the code has done all it can against its guard."""
    eve, deadline = ground.act_as("eve").caller, time.monotonic() + STARTS_S
    while time.monotonic() < deadline:
        with read(ground.system, eve) as unit:
            if any(line.text.startswith("jammed") for line in runs.logs(unit, eve, run)):
                return
        time.sleep(0.1)
    not_here("a run whose code could speak")


SCENARIO = Scenario(
    id="deaf-guard",
    title="Go on under a hold by jamming what the server speaks to",
    techniques=("T1562.001", "T1499.001"),
    people=("eve", "chi"),
    steps=(
        "On a copy, Eve's run stops the guard beside it and fills the pipe on which the server speaks to it.",
        "Eve stops the run gently, so that the server asks the guard.",
        "Chi holds the model; the run must end at once.",
    ),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(Trace("runs.RunStopped", {"why": CODE}),)),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
