"""Theft: let a colleague confirm one act, and use their second factor for another."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import read

CODE = "identity.act_unconfirmed"


def prepare(ground: Ground) -> access.Request:
    request = honest.ask(ground, "eve")
    ben = ground.act_as("ben").caller
    honest.factor(ground, ben, "request.vote", str(request.id), verdict="deny", digest=request.digest)
    return request


def attack(ground: Ground, request: access.Request) -> Observed:
    ben = ground.act_as("ben")
    session = ben.caller
    with read(ground.system, session) as unit:
        card = access.card(unit, session, request.id)
    statement = {**card.statement, "verdict": "approve", "device": ben.device}
    signature = access.VoteSignature(kind="device", at=statement["at"], device=ben.device, value=ben.sign(statement))
    return tried(
        ground,
        session,
        "an approval that was confirmed as a denial",
        lambda unit: access.vote(unit, session, request.id, "approve", digest=request.digest, signature=signature),
    )


SCENARIO = Scenario(
    id="borrowed-factor",
    title="Use a second factor that was given for another act",
    techniques=("T1621", "T1111", "T1550"),
    people=("eve", "ben"),
    steps=(
        "On a copy, Eve asks to load Tern; Ben gives his second factor to deny it.",
        "Malware on Ben's machine signs an approval with his key and sends it in his session.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.ActUnconfirmed", {"act": "request.vote"}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
