"""Theft: a run with the right grant, in the right environment, but with another image asks for keys."""

from __future__ import annotations

import re

from weighthouse.assurance.model import Expected, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ask_for_keys, run_of
from weighthouse.core.work import read
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

CODE = "access.image_not_listed"
LISTED, OTHER = "sha256:" + "d" * 64, "sha256:" + "e" * 64


def prepare(ground: Ground) -> identity.Credential:
    _list_images(ground)
    return run_of(ground, "eve", honest.grant(ground, "eve"), environment="frontier", image_digest=OTHER)


def _list_images(ground: Ground) -> None:
    """Publish a lab whose class of Tern lists an image, where it lists none, as a lab does that nobody pinned yet."""
    with read(ground.system) as unit:
        lab, text = policy.current(unit).lab, policy.current_text(unit)
    cls = lab.resources["model/tern"].cls
    if lab.classes[cls].images:
        return
    entry = re.compile(rf"(^classes:\n(?:[ #].*\n)*?  {re.escape(cls)}:\n)", re.M)
    changed, count = entry.subn(rf"\g<1>    images: [{LISTED}]\n", text)
    if count != 1:
        not_here("a class that lists the images its weights may be used in")
    honest.publish(ground, changed)


SCENARIO = Scenario(
    id="wrong-image",
    title="Ask for Tern's keys from a run with the wrong image",
    techniques=("T1525", "T1555.006", "catalogue 28, 31"),
    people=("eve", "ben", "chi", "dee", "gil", "hana"),
    steps=(
        "On a copy whose class lists the images for its weights, Eve is granted Tern by both teams.",
        "Her run with an image that the class does not list asks for keys.",
    ),
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
