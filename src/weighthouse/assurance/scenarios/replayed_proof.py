"""Theft: present a proof again that was seen on its way, once the server was restarted and has forgotten it."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

VICTIM = "ben"
CODE = "identity.proof_replayed"
URL = "http://127.0.0.1/api/v1/me"


def prepare(ground: Ground) -> identity.Credential:
    seen = ground.act_as(VICTIM).minted("GET", URL, identity.fresh_nonce(ground.system))
    with begin(ground.system) as unit:
        identity.authenticate(unit, seen)
    return seen


def attack(ground: Ground, loot: identity.Credential) -> Observed:
    ground.restart()
    first = tried(ground, None, "a session without its key", lambda unit: identity.authenticate(unit, loot))
    if first.loot:
        return first
    return tried(ground, None, "a session without its key", lambda unit: identity.authenticate(unit, loot))


SCENARIO = Scenario(
    id="replayed-proof",
    title="Present somebody's proof again after a restart of the server",
    techniques=("T1539", "T1550.004"),
    people=(VICTIM,),
    steps=(
        "On a copy, a request of Ben's is answered, and a thief keeps its proof.",
        "The server is restarted; the thief presents the proof, and presents it again.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.CredentialRefused", {"principal": VICTIM, "code": CODE}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
