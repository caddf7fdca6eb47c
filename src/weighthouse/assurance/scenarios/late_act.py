"""Theft: have a request under way while the session that it came in is ended, and go on as if nothing were said."""

from __future__ import annotations

import msgspec

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.caller import Caller
from weighthouse.core.clock import SECOND
from weighthouse.core.ids import SessionId, new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "identity.session_ended"


class Underway(msgspec.Struct, frozen=True):
    """What the door has let in already: who asks, and what signs it."""

    caller: Caller
    signed: identity.KeySignature


def prepare(ground: Ground) -> Underway:
    """Eve is frozen. A thief at Chi's machine sends what thaws her; it waits behind others for its turn to write."""
    chi = msgspec.structs.replace(ground.act_as("chi").caller, session=SessionId(new_id("ses")))
    ground.act_as("eve")
    with begin(ground.system) as unit:
        identity.freeze(unit, "eve", "Odd reads at night.", chi)
    ground.later(SECOND)
    signed = honest.opening(ground, "chi", "person.thaw", "eve")
    honest.factor(ground, chi, "person.thaw", "eve")
    return Underway(chi, signed)


def attack(ground: Ground, underway: Underway) -> Observed:
    chi = underway.caller
    with begin(ground.system) as unit:
        identity.end_session(unit, str(chi.session), "I am at home, and that is not me.", "fay", of="chi")
    ground.settle()
    return tried(
        ground,
        chi,
        "a person thawed in a session that was ended before",
        lambda unit: identity.thaw(unit, "eve", "It was all a mistake.", chi, signed=underway.signed),
    )


SCENARIO = Scenario(
    id="late-act",
    title="Have a request under way while its session is ended, and go on as if nothing were said",
    techniques=("T1539", "T1562", "T1098"),
    people=("eve", "chi"),
    steps=(
        "On a copy, Eve is frozen; a thief at Chi's machine asks to thaw her, and the request waits for its turn.",
        "Chi's session is ended as somebody else's, which is answered and followed.",
        "The request comes to its turn.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.SessionEnded", {"principal": "chi"}),),
        absent=(Trace("identity.PersonThawed", {"principal": "eve"}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
