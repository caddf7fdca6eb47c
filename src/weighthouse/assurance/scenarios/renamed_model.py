"""Theft: rename a held model in the policy text, so that its hold stands on a name that nobody has."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest, lab_text
from weighthouse.assurance.scenarios.thief import published

CODE = "access.hold_would_slip"
OLD, NEW = "model/tern", "model/heron"


def prepare(ground: Ground) -> str:
    text = lab_text.current(ground)
    if OLD not in text or NEW in text:
        not_here("the example lab's frontier model")
    text = text.replace(OLD, NEW)
    honest.approved_text(ground, text)
    ground.call_hold("gil", OLD)
    return text


def attack(ground: Ground, text: str) -> Observed:
    return published(ground, text, "a policy in which what is held has a name that no hold is on")


SCENARIO = Scenario(
    id="renamed-model",
    title="Rename a held model in the policy text, so that its hold stands on an empty name",
    techniques=("T1484", "T1036.005", "catalogue 53"),
    people=("dee", "chi", "gil", "hana"),
    steps=(
        "On a copy, a policy text that calls Tern by another id is approved.",
        "The chair holds Tern's release.",
        "Dee publishes the text.",
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
