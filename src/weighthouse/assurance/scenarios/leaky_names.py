"""Theft: spell the weights as names of hosts; each is refused, and each refusal would be kept in the log for ever."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import TUNNEL, ran
from weighthouse.audit import api as audit
from weighthouse.core.work import read

CODE = "egress.unknown_host"
NAMES = 40
MOST = 2048
SOURCE = (
    TUNNEL
    + f"""
import os
for _ in range({NAMES}):
    tunnel(".".join(os.urandom(30).hex() for _ in range(4)) + ":443")
report(met="refused", got_out=False)
"""
)


def attack(ground: Ground, _grant: str) -> Observed:
    outcome = ground.submit_attack_run(SOURCE)
    ran(outcome)
    with read(ground.system) as unit:
        told = audit.entries(unit, kind="egress.Refused", subject=outcome.run, limit=1000)
    written = sum(len(str(one.data["host"])) for one in told)
    if written > MOST:
        return Observed(loot=f"{written} letters of the thief's choosing, in the log for ever")
    return Observed(
        code=str(told[0].data["code"]) if told else "", message=f"{written} letters in {len(told)} lines."
    )


SCENARIO = Scenario(
    id="leaky-names",
    title="Spell the weights as names of hosts that are refused",
    techniques=("T1071.004", "T1132.001", "T1565.001"),
    people=("eve",),
    steps=(f"On a copy, a run asks for {NAMES} hosts whose names, 243 letters each, are pieces of the weights.",),
    expected=Expected(
        status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.WayClosed", {"refused": str(NAMES)}),)
    ),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
