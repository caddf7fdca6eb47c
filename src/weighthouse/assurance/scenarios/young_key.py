"""Theft: sign a vote with a key that was enrolled in a colleague's name a moment ago."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import read

CODE = "identity.key_young"


def prepare(ground: Ground) -> access.Request:
    request, ben = honest.ask(ground, "eve"), ground.act_as("ben").caller
    honest.factor(ground, ben, "request.vote", str(request.id), verdict="approve", digest=request.digest)
    # As in production: on a server that is only tried out, a new key counts at once.
    ground.system.settings = ground.system.settings.changed(**{"identity.new_keys": "confirm"})
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
        "an approval signed with a key of this morning",
        lambda unit: access.vote(unit, session, request.id, "approve", digest=request.digest, signature=signature),
    )


SCENARIO = Scenario(
    id="young-key",
    title="Vote on frontier weights with a key that was enrolled a moment ago",
    techniques=("T1098.005", "T1556.006"),
    people=("eve", "ben"),
    steps=(
        "On a copy where new keys wait to be confirmed, Eve asks to load Tern.",
        "A key that was enrolled in Ben's name a moment ago signs an approval in his session.",
    ),
    expected=Expected(status="BLOCKED", room="identity", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=attack,
    on="copy",
)
