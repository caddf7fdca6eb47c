"""Theft: remove the other seats of the committee with a policy text, and let who is left lift its hold."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import published
from weighthouse.core.work import read
from weighthouse.policy import api as policy

CODE = "access.charter_needs_motion"
SEAT = "    ivo: {kind: director, independent: false}\n"
MEMBER = "    accounts: [{issuer: dev, subject: ivo}]\n    teams: [committee]\n"


def packed(ground: Ground) -> str:
    """Return the policy text in force without the seat of one member."""
    with read(ground.system) as unit:
        text = policy.current_text(unit)
    if text.count(SEAT) != 1 or text.count(MEMBER) != 1:
        not_here("the committee of the example lab")
    return text.replace(SEAT, "").replace(MEMBER, MEMBER.replace("[committee]", "[]"))


def prepare(ground: Ground) -> str:
    text = packed(ground)
    honest.approved_text(ground, text)
    return text


def attack(ground: Ground, text: str) -> Observed:
    return published(ground, text, "a committee without those who would have voted against")


EXPECTED = Expected(
    status="BLOCKED",
    room="access",
    code=CODE,
    traces=(Trace("access.Denied", {"code": CODE, "principal": "dee", "action": "policy.publish"}),),
    absent=(Trace("access.PolicyPublished", {}),),
)
SCENARIO = Scenario(
    id="packed-charter",
    title="Remove the other seats of the committee with an approved policy text",
    techniques=("T1484", "T1098", "catalogue 53, C-12"),
    people=("dee", "chi", "gil", "hana"),
    steps=(
        "On a copy, a security engineer and two members approve a policy text without the third member's seat.",
        "Dee publishes it; whoever is left would decide alone.",
    ),
    expected=EXPECTED,
    prepare=prepare,
    attack=attack,
    on="copy",
)
