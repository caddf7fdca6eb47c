"""Theft: a person with a good grant has their keys asked for by a run in another, weaker environment."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ask_for_keys, run_of
from weighthouse.identity import api as identity

CODE = "access.environment_mismatch"


def prepare(ground: Ground) -> identity.Credential:
    return run_of(ground, "eve", honest.grant(ground, "eve"), environment="research")


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
    attack=ask_for_keys,
    on="copy",
    demo=True,
)
