"""Theft: thaw a frozen person at security's machine, and go on as them after that session was ended as stolen."""

from __future__ import annotations

import msgspec

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import HOUR, SECOND
from weighthouse.core.ids import SessionId, new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "access.person_inactive"


def prepare(ground: Ground) -> str:
    """Eve is frozen; a thief at Chi's machine thaws her, in a session of Chi's and signed with her key."""
    stolen = SessionId(new_id("ses"))
    chi = msgspec.structs.replace(ground.act_as("chi").caller, session=stolen)
    ground.act_as("eve")
    with begin(ground.system) as unit:
        identity.freeze(unit, "eve", "Odd reads at night.", chi)
    ground.later(SECOND)
    honest.thaw(ground, chi, "eve")
    return stolen


def attack(ground: Ground, stolen: str) -> Observed:
    thief = ground.act_as("eve").caller
    ground.later(SECOND)
    with begin(ground.system) as unit:
        identity.end_session(unit, stolen, "I am at home, and that is not me.", "fay", of="chi")
    ground.settle()
    return tried(
        ground,
        thief,
        "a role on Wren, as somebody who was thawed by a thief",
        lambda unit: access.submit(
            unit, thief, entitlement="wren-train", resource="model/wren", duration=HOUR, reason=honest.REASON
        ),
    )


SCENARIO = Scenario(
    id="thieves-thaw",
    title="Thaw a person at security's machine, in a session that is ended as stolen afterwards",
    techniques=("T1562", "T1098", "T1078"),
    people=("eve", "chi"),
    steps=(
        "On a copy, Eve is frozen; a thief at Chi's machine thaws her, signed with Chi's key.",
        "Chi's session is ended as somebody else's.",
        "Eve asks for a role that nobody need approve.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("access.OpeningFell", {"about": "eve", "what": "person"}),
            Trace("identity.PersonFrozen", {"principal": "eve"}),
        ),
        absent=(Trace("access.RequestSubmitted", {}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
