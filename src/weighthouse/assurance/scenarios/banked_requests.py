"""Theft: bank requests while nothing runs, and have them approved one by one, each as the last one ends."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.errors import WeighthouseError

CODE = "access.renewal_cap"


def prepare(ground: Ground) -> access.Request:
    first, second = (
        honest.ask(ground, "eve", "tern-export", hold=2 * HOUR, version="ver_1", destination=place)
        for place in ("archive", "elsewhere")
    )
    for voter in ("ben", "chi", "gil"):
        honest.vote(ground, voter, first)
    ground.later(20 * MINUTE)
    for voter in ("ben", "chi"):
        honest.vote(ground, voter, second)
    return second


def attack(ground: Ground, banked: access.Request) -> Observed:
    try:
        honest.vote(ground, "gil", banked)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot="more than two hours of exports without a break, under a limit of two")


SCENARIO = Scenario(
    id="banked-requests",
    title="Bank requests and have them approved one by one, for ever",
    techniques=("T1548.005", "T1098"),
    people=("eve", "ben", "chi", "gil"),
    steps=(
        "On a copy, Eve asks for two exports of two hours each, while nothing of hers runs.",
        "The first is approved and runs for two hours, which is all that policy allows without a break.",
        "The last approval of the second comes while the first runs.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "request.activate"}),),
        absent=(Trace("access.GrantStarted", {}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
