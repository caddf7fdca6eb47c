"""Theft: sign proofs for later while one has somebody's machine for a minute, and use them from one's own."""

from __future__ import annotations

from functools import partial

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import MINUTE
from weighthouse.identity import api as identity

VICTIM = "ben"
CODE = "identity.proof_nonce"
URL = "http://127.0.0.1/api/v1/me"


def prepare(ground: Ground) -> list[identity.Credential]:
    nonce = identity.fresh_nonce(ground.system)
    return [ground.act_as(VICTIM).minted("GET", URL, nonce) for _ in range(2)]


def attack(ground: Ground, loot: list[identity.Credential]) -> Observed:
    seen = Observed()
    for one in loot:
        ground.later(10 * MINUTE)
        seen = tried(ground, None, "a session without its key", partial(identity.authenticate, credential=one))
        if seen.loot:
            break
    return seen


SCENARIO = Scenario(
    id="proof-minted-ahead",
    title="Use proofs that were signed ahead, without the key",
    techniques=("T1539", "T1550.004", "T1606"),
    people=(VICTIM,),
    steps=(
        "A thief has Ben's machine for a minute, and has his key sign proofs for later.",
        "On a copy, ten and twenty minutes on, they present them from a machine of their own.",
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
