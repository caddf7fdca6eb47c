"""Theft: have somebody approve whom security has just stopped from everything."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin

CODE = "access.held"


def prepare(ground: Ground) -> access.Request:
    request = honest.ask(ground, "eve")
    honest.vote(ground, "chi", request)
    with begin(ground.system) as unit:
        access.place_hold(unit, SYSTEM, "ben", "An exercise of the red team: his session looks stolen.")
    return request


def attack(ground: Ground, request: access.Request) -> Observed:
    try:
        with begin(ground.system) as unit:  # the card as its other approver sees it; the thief has Ben's key
            card = access.card(unit, ground.act_as("chi").caller, request.id)
        thief = ground.act_as("ben")
        caller = thief.caller
        honest.factor(ground, caller, "request.vote", str(request.id), verdict="approve", digest=request.digest)
        his = {"voter": "ben", "account": caller.account, "device": thief.device}
        statement = {**card.statement, **his, "verdict": "approve"}
        signature = access.VoteSignature(
            kind="device", at=statement["at"], device=thief.device, value=thief.sign(statement)
        )
        with begin(ground.system, caller) as unit:
            access.vote(unit, caller, request.id, "approve", digest=card.digest, signature=signature)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot="a grant of Tern that a stopped approver gave")


SCENARIO = Scenario(
    id="held-approver",
    title="Approve with the key of somebody who is under a hold",
    techniques=("T1078", "T1098"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve asks to load Tern and security approves.",
        "Security holds Ben, whose session looks stolen, from everything.",
        "With Ben's session and key, the last vote is signed and cast.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "ben", "action": "request.vote"}),),
        absent=(Trace("access.VoteCast", {}), Trace("access.GrantStarted", {})),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
