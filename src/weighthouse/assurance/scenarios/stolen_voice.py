"""Theft: approve in a colleague's stolen session, and use what was approved after they have ended that session."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "access.grant_ended"
VICTIM = "ben"


def attack(ground: Ground, grant: str) -> Observed:
    session = str(ground.act_as(VICTIM).caller.session)
    with begin(ground.system) as unit:
        identity.end_session(unit, session, "detect:elsewhere", SYSTEM)
    ground.settle()
    eve = ground.act_as("eve").caller
    return tried(ground, eve, "what a thief's vote gave", lambda unit: access.valid_grant(unit, grant))


SCENARIO = Scenario(
    id="stolen-voice",
    title="Use what was approved in a session that was ended as stolen",
    techniques=("T1550", "T1078", "T1098"),
    people=("eve", VICTIM, "chi"),
    steps=(
        "Eve asks to load Tern; a thief approves it in Ben's session, and Chi approves it.",
        "On a copy, a detection ends that session of Ben's as used from elsewhere; his keys stay.",
        "Eve uses the grant.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        # Ben may have cast more votes in that session, on others' grants: each leaves lines of its own.
        traces=(Trace("access.GrantEnded", {"principal": "eve", "resource": "model/tern", "why": "revoked"}),),
    ),
    prepare=lambda ground: honest.grant(ground, "eve"),
    attack=attack,
    on="copy",
)
