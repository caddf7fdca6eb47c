"""Theft: have the committee carry one policy text, and publish another one under its motion."""

from __future__ import annotations

from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.packed_charter import EXPECTED, SEAT, attack, packed
from weighthouse.core.work import read
from weighthouse.policy import api as policy

LONGER = SEAT.replace("}", ', until: "2036-12-31"}')


def prepare(ground: Ground) -> str:
    text = packed(ground)
    with read(ground.system) as unit:
        carried = policy.current_text(unit).replace(SEAT, LONGER)
    ground.carry(carried)
    honest.approved_text(ground, text)
    return text


SCENARIO = Scenario(
    id="borrowed-motion",
    title="Publish another policy text under a motion that the committee carried",
    techniques=("T1484", "T1550"),
    people=("dee", "chi", "gil", "hana", "ivo"),
    steps=(
        "On a copy, all members carry a motion about a policy text that gives one seat a term.",
        "A security engineer and two members approve another text, in which that seat is gone.",
        "Dee publishes the other text.",
    ),
    expected=EXPECTED,
    prepare=prepare,
    attack=attack,
    on="copy",
)
