"""Theft: vote with a session whose account policy has taken from its person."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import changing_hands, honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import read

CODE = "access.account_moved"
Loot = tuple[access.Request, access.VoteSignature]


def prepare(ground: Ground) -> Loot:
    request, ben = honest.ask(ground, "eve"), ground.act_as("ben")
    session = ben.caller
    with read(ground.system, session) as unit:
        card = access.card(unit, session, request.id)
    statement = {**card.statement, "verdict": "approve", "device": ben.device}
    honest.factor(ground, session, "request.vote", str(request.id), verdict="approve", digest=request.digest)
    return request, access.VoteSignature(
        kind="device", at=statement["at"], device=ben.device, value=ben.sign(statement)
    )


def attack(ground: Ground, loot: Loot) -> Observed:
    request, signature = loot
    session = ground.act_as("ben").caller  # opened before the account moved
    changing_hands.replace_account(ground, "ben")
    return tried(
        ground,
        session,
        "a vote of somebody whose account this no longer is",
        lambda unit: access.vote(unit, session, request.id, "approve", digest=request.digest, signature=signature),
    )


SCENARIO = Scenario(
    id="moved-account",
    title="Vote with the old session of an account that has changed hands",
    techniques=("T1078", "T1098", "T1550.004"),
    people=("eve", "ben"),
    steps=(
        "On a copy, Eve asks to load Tern; Ben signs an approval and confirms it with his second factor.",
        "Policy gives Ben another account: the one that opened the session is somebody else's now.",
        "The old session sends the vote.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=attack,
    on="copy",
)
