"""Theft: keep the weights for longer than any role allows, by taking two roles in turns."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.errors import WeighthouseError

CODE = "access.renewal_cap"


def prepare(ground: Ground) -> None:
    for role, voters in (("weights-admin", ("ben", "chi", "gil")), ("tern-load", ("ben", "chi"))):
        request = honest.ask(ground, "eve", role, hold=20 * MINUTE)
        for voter in voters:
            honest.vote(ground, voter, request)
        ground.later(20 * MINUTE)


def attack(ground: Ground, _prepared: None) -> Observed:
    try:
        honest.ask(ground, "eve", "weights-admin", hold=2 * HOUR)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot="a third turn of Tern without a break, beyond the two hours of the role")


SCENARIO = Scenario(
    id="alternating-roles",
    title="Take two roles on one model in turns, for ever",
    techniques=("T1548.005", "T1078"),
    people=("eve", "ben", "chi", "gil"),
    steps=(
        "On a copy, Eve has the broad role for twenty minutes; policy allows two hours without a break.",
        "As it ends she has the narrow role for twenty minutes, which gives the same weights.",
        "As that ends she asks for the broad role again, for two hours.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "request.submit"}),),
        absent=(Trace("access.RequestSubmitted", {}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
