"""Theft: open here with what security signed for another server, which does not say for which server it is."""

from __future__ import annotations

import base64

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "identity.statement_outdated"


def prepare(ground: Ground) -> identity.KeySignature:
    """Eve is frozen; at a staging server that the thief watches, Chi signs, by an older program, to thaw its Eve."""
    chi = ground.act_as("chi")
    with begin(ground.system) as unit:
        identity.freeze(unit, "eve", "Odd reads at night.", chi.caller)
        at = unit.now
    said = {"type": "weighthouse/open/1", "act": "person.thaw", "subject": "eve", "person": "chi"}
    value = base64.urlsafe_b64decode(chi.sign({**said, "device": chi.device, "at": at}) + "==")
    return identity.KeySignature(device=chi.device, at=at, value=value)


def attack(ground: Ground, signed: identity.KeySignature) -> Observed:
    session = ground.act_as("chi").caller  # all but the signature is what the provider's administrator can make
    honest.factor(ground, session, "person.thaw", "eve")
    return tried(
        ground,
        session,
        "Eve, back inside",
        lambda unit: identity.thaw(unit, "eve", "It was all a mistake.", session, signed=signed),
    )


SCENARIO = Scenario(
    id="signed-elsewhere",
    title="Thaw a person with what security signed for another server",
    techniques=("T1556", "T1078", "T1557"),
    people=("eve", "chi"),
    steps=(
        "On a copy, Eve is frozen. At a staging server, Chi signs with an older program that its Eve be thawed.",
        "Whoever watches that server and runs the identity provider signs in here as Chi and gives a second factor.",
        "They thaw Eve with the signature of the staging server.",
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
