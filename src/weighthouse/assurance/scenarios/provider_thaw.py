"""Theft: as whoever runs the identity provider, sign in as security, enrol a key, and thaw a frozen person."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "identity.key_young"


def prepare(ground: Ground) -> None:
    with begin(ground.system) as unit:
        identity.freeze(unit, "eve", "Odd reads at night.", ground.act_as("chi").caller)
    # As in production: on a server that is only tried out, a new key counts at once.
    ground.system.settings = ground.system.settings.changed(**{"identity.new_keys": "confirm"})


def attack(ground: Ground, _prepared: None) -> Observed:
    chi = ground.act_as("chi")  # the session and the key of a moment ago are what the administrator can make
    session = chi.caller
    honest.factor(ground, session, "person.thaw", "eve")
    with begin(ground.system) as unit:
        at = unit.now
    signed = honest.signed(ground, chi, "person.thaw", "eve", at)
    return tried(
        ground,
        session,
        "Eve, back inside",
        lambda unit: identity.thaw(unit, "eve", "It was all a mistake.", session, signed=signed),
    )


SCENARIO = Scenario(
    id="provider-thaw",
    title="Thaw a person as security, with what the identity provider's administrator can make",
    techniques=("T1556", "T1078", "T1098"),
    people=("eve", "chi"),
    steps=(
        "On a copy where new keys wait to be confirmed, Eve is frozen.",
        "Whoever runs the identity provider signs in as Chi, gives a second factor, and enrols a key of their own.",
        "They thaw Eve as Chi, signed with that key.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.OpeningRefused", {"code": CODE, "act": "person.thaw", "about": "eve"}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
