"""Theft: a run with the right grant, in the right environment, but with another image asks for keys."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import MINUTE
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity
from weighthouse.keys import api as keys
from weighthouse.policy import api as policy

CODE = "access.image_not_listed"
OTHER = "sha256:" + "e" * 64


def prepare(ground: Ground) -> identity.Credential:
    with read(ground.system) as unit:
        lab = policy.current(unit).lab
    if not lab.classes[lab.resources["model/tern"].cls].images:
        not_here("a class that lists the images its weights may be used in")
    grant, run = honest.grant(ground, "eve"), new_id("run")
    attributes = {
        "person": "eve",
        "grant": grant,
        "sandbox": "bubblewrap",
        "environment": "frontier",
        "image_digest": OTHER,
    }
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
    id="wrong-image",
    title="Ask for Tern's keys from a run with the wrong image",
    techniques=("T1525", "T1555.006", "catalogue 28, 31"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve is granted Tern by both teams.",
        "Her run with an image that the class does not list asks for keys.",
    ),
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
