"""Theft: take a colleague's signature from an old request and put it under a new one."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin

CODE = "access.vote_signature"
Loot = tuple[access.Request, access.VoteSignature]


def prepare(ground: Ground) -> Loot:
    old = honest.ask(ground, "eve")
    ben = ground.act_as("ben")
    caller = ben.caller
    honest.factor(ground, caller, "request.vote", str(old.id), verdict="approve", digest=old.digest)
    with begin(ground.system, caller) as unit:
        card = access.card(unit, caller, old.id)
        statement = {**card.statement, "verdict": "approve", "device": ben.device}
        signature = access.VoteSignature(
            kind="device", at=statement["at"], device=ben.device, value=ben.sign(statement)
        )
        access.vote(unit, caller, old.id, "approve", digest=card.digest, signature=signature)
    honest.withdraw(ground, old)
    return honest.ask(ground, "eve"), signature


def attack(ground: Ground, loot: Loot) -> Observed:
    request, signature = loot
    session = ground.act_as("ben").caller  # the thief has his session as well, and not the key of his device
    honest.factor(ground, session, "request.vote", str(request.id), verdict="approve", digest=request.digest)
    return tried(
        ground,
        session,
        "an approval that nobody signed",
        lambda unit: access.vote(unit, session, request.id, "approve", digest=request.digest, signature=signature),
    )


SCENARIO = Scenario(
    id="replayed-vote",
    title="Put an old signature under a new request",
    techniques=("T1565.001", "T1550", "catalogue 12"),
    people=("eve", "ben"),
    steps=(
        "Eve asks, Ben approves with his device, Eve withdraws and asks again.",
        "With Ben's session but not his device, Eve sends his old signature for the new request.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=attack,
    cleanup=lambda ground, loot: honest.withdraw(ground, loot[0]),
    demo=True,
)
