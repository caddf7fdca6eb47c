"""Theft: ask for keys with the token of an approved run, from a run with another image."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import account_of, tried
from weighthouse.core.clock import MINUTE
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "identity.workload_elsewhere"
Runs = tuple[str, str, str]


def prepare(ground: Ground) -> Runs:
    approved, other = new_id("run"), new_id("run")
    tokens = []
    with begin(ground.system) as unit:
        for run, image in ((approved, "a"), (other, "b")):
            attributes = {
                "person": "eve",
                "account": account_of(unit, "eve"),
                "model": "model/tern",
                "sandbox": "bubblewrap",
                "environment": "frontier",
                "image_digest": "sha256:" + image * 64,
            }
            expires = unit.now + 5 * MINUTE
            tokens.append(identity.issue_workload(unit, run=run, attributes=attributes, expires=expires))
    return approved, other, tokens[0]


def attack(ground: Ground, runs: Runs) -> Observed:
    approved, other, token = runs
    stolen = identity.Credential(kind="workload", value=token, proof=other, url="/workload/v1/loads")
    return tried(ground, None, f"the identity of {approved}", lambda unit: identity.authenticate(unit, stolen))


def cleanup(ground: Ground, runs: Runs) -> None:
    with begin(ground.system) as unit:
        for run in runs[:2]:
            identity.end_workload(unit, run)


SCENARIO = Scenario(
    id="stolen-run-token",
    title="Use an approved run's token from another run",
    techniques=("T1528", "T1552.007", "catalogue 22, 31"),
    people=(),
    steps=("Two runs have identities; only one has the approved image.", "The other presents the first one's token."),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.CredentialRefused", {"code": CODE}),),
    ),
    prepare=prepare,
    attack=attack,
    cleanup=cleanup,
    demo=True,
)
