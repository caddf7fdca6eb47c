"""Theft: approve your own request. Nobody else is needed, so nobody else sees it."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.identity import api as identity

CODE = "access.self_approval"


def attack(ground: Ground, request: access.Request) -> Observed:
    thief, at = ground.act_as("eve"), ground.system.clock.now()
    caller = thief.caller  # asked for outside the unit below: it can be a request of its own
    honest.factor(ground, caller, "request.vote", str(request.id), verdict="approve", digest=request.digest)
    statement = {
        "type": "weighthouse/vote/3",
        "audience": identity.audience(ground.system),
        "account": caller.account,
        "request": request.id,
        "request_digest": request.digest,
        "policy_digest": request.policy_digest,
        "verdict": "approve",
        "voter": "eve",
        "device": thief.device,
        "at": at,
    }
    signature = access.VoteSignature(kind="device", at=at, device=thief.device, value=thief.sign(statement))
    return tried(
        ground,
        caller,
        "an approval of their own request",
        lambda unit: access.vote(unit, caller, request.id, "approve", digest=request.digest, signature=signature),
    )


SCENARIO = Scenario(
    id="self-approval",
    title="Approve your own request",
    techniques=("T1078", "T1656", "catalogue 10"),
    people=("eve",),
    steps=("Eve asks to load Tern.", "Eve signs a vote for her own request with her own enrolled device."),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lambda ground: honest.ask(ground, "eve"),
    attack=attack,
    cleanup=honest.withdraw,
    demo=True,
)
