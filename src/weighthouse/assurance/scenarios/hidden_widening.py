"""Theft: hide a wider rule behind harmless words of the same entry, so that approvers of a policy text miss it."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import published
from weighthouse.core.work import read
from weighthouse.policy import api as policy

CODE = "access.no_grant"
WORDS = "    description: Load checkpoints of Tern inside a sandboxed run; nothing can be saved.\n"
CLEARER = "    description: Load checkpoints of Tern inside a sandboxed run; nothing can be saved from it.\n"
TWO_DAYS = "    duration: {default: 1h, longest: 8h, chain: 2d}\n"
A_MONTH = "    duration: {default: 1h, longest: 8h, chain: 30d}\n"


def prepare(ground: Ground) -> str:
    with read(ground.system) as unit:
        text = policy.current_text(unit)
    if text.count(WORDS) != 1 or text.count(TWO_DAYS) != 1:
        not_here("the example lab's role that loads Tern")
    return text.replace(WORDS, CLEARER).replace(TWO_DAYS, A_MONTH)


def attack(ground: Ground, text: str) -> Observed:
    request = honest.ask(ground, "dee", "policy-change", "lab", policy=policy.digest_of(text))
    for voter in ("chi", "gil", "hana"):
        if _judged(ground, voter, text, request) == "denied":
            break
    return published(ground, text, "a policy by which Tern can be held for a month, which nobody was shown")


def _judged(ground: Ground, voter: str, text: str, request: access.Request) -> str:
    """An approver who was told of new words reads the difference, and denies what opens more than words."""
    caller = ground.act_as(voter).caller
    with read(ground.system, caller) as unit:
        changes = access.plan_policy(unit, caller, text, "lab.yaml")[2]
    wider = any(one.startswith("WIDER") for one in changes)
    return honest.vote(ground, voter, request, "deny" if wider else "approve").state


SCENARIO = Scenario(
    id="hidden-widening",
    title="Hide a wider rule of a policy text behind harmless words",
    techniques=("T1484", "T1036", "T1656"),
    people=("dee", "chi", "gil", "hana"),
    steps=(
        "On a copy, Dee writes a policy text with clearer words for the role that loads Tern.",
        "The same entry lets it be held for a month without a break.",
        "The approvers read the difference that they are shown; Dee publishes.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("access.RequestDenied", {"by": "chi"}),
            Trace("access.Denied", {"code": CODE, "principal": "dee", "action": "policy.publish"}),
        ),
        absent=(Trace("access.PolicyPublished", {}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
