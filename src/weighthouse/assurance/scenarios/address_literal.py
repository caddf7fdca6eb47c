"""Theft: name an address instead of a host, in a notation that a list of names may not recognise."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import knock, refused_by_egress

CODE = "egress.ip_literal"


def attack(ground: Ground, _grant: str) -> Observed:
    outcome = ground.submit_attack_run(knock("2130706433:8443"))
    return refused_by_egress(ground, outcome, "a way to an address")


SCENARIO = Scenario(
    id="address-literal",
    title="Upload to an address instead of a name",
    techniques=("T1567", "T1090", "catalogue 33"),
    people=("eve",),
    steps=("A run asks for a tunnel to 127.0.0.1, written as one decimal number.",),
    expected=Expected(status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.Refused", {"code": CODE}),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
    demo=True,
)
