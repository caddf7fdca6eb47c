"""Theft: publish a policy text that was approved before a restriction, and so undo it."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest, lab_text
from weighthouse.assurance.scenarios.thief import published

CODE = "access.base_moved"
LOADS = "    duration: {default: 1h, longest: 8h, chain: 2d}\n    approval:\n"
THIRD = "      committee: {team: committee, count: 1}\n"
HARMLESS = "# Words that decide nothing.\n"


def prepare(ground: Ground) -> str:
    text = lab_text.current(ground)
    if text.count(LOADS) != 1:
        not_here("the example lab's role that loads Tern")
    banked = HARMLESS + text
    honest.approved_text(ground, banked)
    honest.publish(ground, text.replace(LOADS, LOADS + THIRD))
    return banked


def attack(ground: Ground, banked: str) -> Observed:
    return published(ground, banked, "a policy in which Tern needs no vote of the committee any more")


SCENARIO = Scenario(
    id="stale-policy-approval",
    title="Undo a restriction with a policy text that was approved before it",
    techniques=("T1484", "T1098"),
    people=("dee", "chi", "gil", "hana"),
    steps=(
        "On a copy, Dee has a harmless policy text approved and keeps it.",
        "Another text is approved and published: whoever loads Tern needs a vote of the committee too.",
        "Dee publishes the text that was kept, which knows nothing of that.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "dee", "action": "policy.publish"}),),
        absent=(Trace("access.PolicyPublished", {}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
