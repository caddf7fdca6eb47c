"""Theft: be given the id of somebody who has left, and use the grant that they had."""

from __future__ import annotations

import msgspec

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import changing_hands, honest
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.account_moved"


def attack(ground: Ground, _grant: str) -> Observed:
    before = ground.act_as("eve").caller
    heir = msgspec.structs.replace(before, account=changing_hands.replace_account(ground, "eve"))
    return tried(
        ground,
        heir,
        "Tern, by the grant of whoever had this id before",
        lambda unit: access.require(unit, heir, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="reused-id",
    title="Inherit a grant with an id that was somebody else's",
    techniques=("T1078", "T1098"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve is granted Tern, and leaves.",
        "Her id is given to somebody else, with an account of their own, while the grant runs.",
        "The new person under the old id submits a run on Tern.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lambda ground: honest.grant(ground, "eve"),
    attack=attack,
    on="copy",
)
