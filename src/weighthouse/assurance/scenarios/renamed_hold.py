"""Theft: with database access, call the committee's hold one of security's, at a server that has not heard of it.

A server that has not read the log yet knows a hold by its row alone, and the row can be made to say anything.
"""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.lifted_hold import prepare as hold_it
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.hold_unproven"


def attack(ground: Ground, prepared: None) -> Observed:
    thief = ground.act_as("chi").caller
    with ground.twin() as other:
        hold = hold_it(ground)
        ground.raw_sql("UPDATE access_hold SET kind = 'security'")
        signed = honest.opening(other, "chi", "hold.lift", hold)  # all that a hold of security takes
        return tried(
            other,
            thief,
            "the release of Tern",
            lambda unit: access.lift_hold(unit, thief, hold, "I think this is fine.", signed=signed),
        )


SCENARIO = Scenario(
    id="renamed-hold",
    title="Rename the committee's hold to one of security's at a server that has not heard of it",
    techniques=("T1562", "T1565.001", "catalogue 53, C-12"),
    people=("gil", "chi"),
    steps=(
        "On a copy with two servers, the chair holds Tern's release at one.",
        "The hold's row is edited: it says that security placed it.",
        "A security engineer lifts it at the other, with a second factor and a signature, as one of security's.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=lambda ground: None,
    attack=attack,
    on="copy",
)
