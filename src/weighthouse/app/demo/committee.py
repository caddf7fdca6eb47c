"""The committee of the example lab at work: a motion carried by all of its members, or a call for a hold.

Guards thefts around the committee from scenery: a motion is opened, answered with each member's own device, and
closed, as ever.
"""

from __future__ import annotations

from collections.abc import Callable

from weighthouse.assurance.ports import Actor
from weighthouse.core.work import System, begin
from weighthouse.governance import api as governance
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

MEMBERS = ("gil", "hana", "ivo")
WHY = "An exercise of the red team: this is part of an attack scenario."


def carry(system: System, act_as: Callable[[str], Actor], text: str) -> None:
    """Have every member be for a motion about publishing `text`, and the chair close it."""
    chair = act_as(MEMBERS[0]).caller
    with begin(system, chair) as unit:
        opened = governance.open_motion(unit, chair, "charter_change", policy.digest_of(text), WHY, policy_text=text)
    for member in MEMBERS:
        _answer(system, act_as(member), opened.motion.id, opened.digest)
    chair = act_as(MEMBERS[0]).caller
    with begin(system, chair) as unit:
        governance.close(unit, chair, opened.motion.id)


def call_hold(system: System, member: Actor, model: str) -> None:
    """Have a member call for a hold on a model's release."""
    caller = member.caller
    with begin(system, caller) as unit:
        governance.place_release_hold(unit, caller, model, WHY)


def _answer(system: System, member: Actor, motion: str, digest: str) -> None:
    caller, said = member.caller, {"ballot": "for", "digest": digest}
    with begin(system, caller) as unit:
        act = identity.Act(type="committee.ballot", subject=motion, parameters=said)
        identity.factor_given(unit, caller, [act], method="exercise", at=unit.now)
        at = unit.now
    here = identity.audience(system)
    statement = governance.ballot_statement(digest, str(caller.principal), "for", member.device, at, audience=here)
    with begin(system, caller) as unit:
        governance.cast(
            unit,
            caller,
            motion,
            "for",
            digest=digest,
            device=member.device,
            at=at,
            signature=member.sign(statement),
        )
