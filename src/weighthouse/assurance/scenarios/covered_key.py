"""Theft: open something with a stolen key, and retire that key before its owner can end it as stolen."""

from __future__ import annotations

import contextlib

import msgspec

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import HOUR, SECOND
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import SessionId, new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "access.person_inactive"


def prepare(ground: Ground) -> str:
    """Eve is frozen; whoever has Chi's key thaws her with it, in a session of their own, and retires the key."""
    chi = ground.act_as("chi")
    stolen = msgspec.structs.replace(chi.caller, session=SessionId(new_id("ses")))
    ground.act_as("eve")
    with begin(ground.system) as unit:
        identity.freeze(unit, "eve", "Odd reads at night.", chi.caller)
    ground.later(SECOND)
    honest.thaw(ground, stolen, "eve")
    with begin(ground.system) as unit:
        identity.end_device(unit, stolen, chi.device, "an old laptop", retired=True)
    ground.settle()
    return chi.device


def attack(ground: Ground, device: str) -> Observed:
    thief, owner = ground.act_as("eve").caller, ground.act_as("chi").caller
    ground.later(SECOND)
    with contextlib.suppress(WeighthouseError), begin(ground.system) as unit:
        identity.end_device(unit, owner, device, "It was stolen, and I have retired nothing.")
    ground.settle()
    return tried(
        ground,
        thief,
        "a role on Wren, as somebody who was thawed with a stolen key",
        lambda unit: access.submit(
            unit, thief, entitlement="wren-train", resource="model/wren", duration=HOUR, reason=honest.REASON
        ),
    )


SCENARIO = Scenario(
    id="covered-key",
    title="Open something with a stolen key, and retire the key before its owner ends it as stolen",
    techniques=("T1562", "T1098.005", "T1070"),
    people=("eve", "chi"),
    steps=(
        "On a copy, Eve is frozen; a thief who has Chi's key thaws her with it, and then retires the key.",
        "Chi, from another session, ends the key as stolen all the same.",
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
