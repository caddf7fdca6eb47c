"""Theft: a person with a good grant has their keys asked for by a run in another, weaker environment."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import MINUTE
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.keys import api as keys

CODE = "access.environment_mismatch"


def prepare(ground: Ground) -> identity.Credential:
    grant, run = honest.grant(ground, "eve"), new_id("run")
    attributes = {"person": "eve", "grant": grant, "sandbox": "bubblewrap", "environment": "research"}
    with begin(ground.system) as unit:
        token = identity.issue_workload(unit, run=run, attributes=attributes, expires=unit.now + 5 * MINUTE)
    return identity.Credential(kind="workload", value=token, proof=run, url="/workload/v1/loads")


def attack(ground: Ground, credential: identity.Credential) -> Observed:
    with begin(ground.system) as unit:
        run = identity.authenticate(unit, credential)
    wanted = (keys.Wrapped("model/tern", 1, b"ciphertext"), {"model": "model/tern", "version": new_id("ver")})
    return tried(
        ground,
        run,
        "a data key of Tern",
        lambda unit: keys.unwrap(unit, run, resource="model/tern", items=[wanted], recipient=b"\x09" + bytes(31)),
    )


SCENARIO = Scenario(
    id="wrong-environment",
    title="Ask for Tern's keys from a run outside its environment",
    techniques=("T1555.006", "catalogue 31"),
    people=("eve", "ben", "chi"),
    steps=("On a copy, Eve is granted Tern by both teams.", "Her run in the research environment asks for its keys."),
    expected=Expected(
        status="BLOCKED",
        room="keys",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "kind": "workload"}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
