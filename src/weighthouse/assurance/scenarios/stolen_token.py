"""Theft: use somebody's session from another machine, without the key that the session is bound to."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.identity import api as identity

VICTIM = "ivo"
CODE = "identity.session_used_elsewhere"


def prepare(ground: Ground) -> identity.Credential:
    return ground.act_as(VICTIM).stolen("GET", "http://127.0.0.1/api/v1/me")


def attack(ground: Ground, loot: identity.Credential) -> Observed:
    return tried(ground, None, "a session of somebody else", lambda unit: identity.authenticate(unit, loot))


SCENARIO = Scenario(
    id="stolen-token",
    title="Use a stolen session without its key",
    techniques=("T1539", "T1550.004", "catalogue 3"),
    people=(VICTIM,),
    steps=(
        "Ivo, a director, is signed in.",
        "A thief presents the session's secret from another machine, with a key of their own.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(
            Trace("identity.SessionUsedElsewhere", {"principal": VICTIM}),
            Trace("detect.AlertRaised", {"rule": "session-used-elsewhere", "principal": VICTIM}),
            Trace("detect.ResponseTaken", {"rule": "session-used-elsewhere", "principal": VICTIM}),
        ),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
    demo=True,
)
