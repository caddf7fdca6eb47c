"""Theft: with write access to the database, make one's own device a colleague's, and approve in their name."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import read

CODE = "identity.device_not_certified"
RENAME = """UPDATE identity_device SET person = 'ben',
  body = replace(replace(body, '"eve"', '"ben"'), :hers, :his) WHERE id = :device"""


def attack(ground: Ground, request: access.Request) -> Observed:
    thief, session = ground.act_as("eve"), ground.act_as("ben").caller
    names = {"hers": thief.caller.account, "his": session.account}
    assert ground.raw_sql(RENAME, device=thief.device, **names) == 1
    honest.factor(ground, session, "request.vote", str(request.id), verdict="approve", digest=request.digest)
    with read(ground.system, session) as unit:
        card = access.card(unit, session, request.id)
    statement = {**card.statement, "verdict": "approve", "device": thief.device}
    signature = access.VoteSignature(
        kind="device", at=statement["at"], device=thief.device, value=thief.sign(statement)
    )
    return tried(
        ground,
        session,
        "an approval in a colleague's name",
        lambda unit: access.vote(unit, session, request.id, "approve", digest=card.digest, signature=signature),
    )


SCENARIO = Scenario(
    id="planted-device",
    title="Approve in a colleague's name with one's own key",
    techniques=("T1098", "T1565.001", "T1656"),
    people=("eve", "ben"),
    steps=(
        "On a copy, Eve asks to load Tern.",
        "The row of her own device is given to Ben.",
        "With Ben's session, she signs an approval with her key.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lambda ground: honest.ask(ground, "eve"),
    attack=attack,
    on="copy",
    demo=True,
)
