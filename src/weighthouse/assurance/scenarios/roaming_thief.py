"""Theft: with a copied client folder, use a colleague's access to weights in their session from another network."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import read
from weighthouse.identity import api as identity

VICTIM = "eve"
CODE = "access.assurance_stale"
URL = "http://127.0.0.1/api/v1/me"


def prepare(ground: Ground) -> None:
    honest.grant(ground, VICTIM)


def attack(ground: Ground, _prepared: None) -> Observed:
    loot = ground.act_as(VICTIM).minted("GET", URL, identity.fresh_nonce(ground.system))
    with read(ground.system) as unit:
        thief = identity.authenticate(unit, loot)
    return tried(
        ground,
        thief,
        "Tern, from a network of the thief's",
        lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="roaming-thief",
    title="Use a session with its key from another network",
    techniques=("T1539", "T1550", "T1078"),
    people=(VICTIM, "ben", "chi"),
    steps=(
        "On a copy, Eve is granted Tern; she has given her second factor lately.",
        "A thief who copied her key and her session submits a run on Tern from a network where she never was.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("identity.SessionMoved", {"principal": VICTIM, "outcome": "abroad"}),
            Trace("access.Denied", {"code": CODE}),
        ),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
