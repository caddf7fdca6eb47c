"""Theft: send a confirmation again that security has taken back, and sign with the key that it was for."""

from __future__ import annotations

import msgspec

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.disowned_key import VICTIM, enrolled_by_a_thief, seen_in_person
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import MINUTE
from weighthouse.core.ids import SessionId, new_id
from weighthouse.core.work import Unit, begin
from weighthouse.identity import api as identity

CODE = "identity.signature_stale"
Loot = tuple[identity.Device, identity.KeySignature]


def prepare(ground: Ground) -> Loot:
    """A thief confirms a key in Dee's name with Chi's, and keeps what it signed; Chi's key counts again since."""
    key, _ = enrolled_by_a_thief(ground)
    chi = ground.act_as("chi")
    signed = honest.confirmation(ground, chi, key)
    with begin(ground.system, chi.caller) as unit:
        identity.confirm_others_key(unit, chi.caller, key.id, of=VICTIM, signed=signed)
    ground.settle()
    with begin(ground.system, chi.caller) as unit:
        identity.disown(unit, chi.caller)
        mark = identity.keys_aside(unit, "chi")[0].thumbprint
    ground.settle()
    ground.later(MINUTE)
    seen_in_person(ground, VICTIM)
    again = honest.opening(ground, VICTIM, "person.key", f"chi/{mark}")
    with begin(ground.system, ground.act_as(VICTIM).caller) as unit:
        identity.restore_key(unit, "chi", chi.device, ground.act_as(VICTIM).caller, signed=again)
    return key, signed


def attack(ground: Ground, loot: Loot) -> Observed:
    key, signed = loot
    chi = msgspec.structs.replace(ground.act_as("chi").caller, session=SessionId(new_id("ses")), life=None)
    honest.factor(ground, chi, "device.confirm", key.thumbprint)

    def confirming(unit: Unit) -> None:
        identity.confirm_others_key(unit, chi, key.id, of=VICTIM, signed=signed)

    return tried(ground, None, "a key of a thief's that counts again", confirming)


SCENARIO = Scenario(
    id="repeated-confirmation",
    title="Confirm a key again with a signature whose confirmation was taken back",
    techniques=("T1550", "T1098.005", "T1556.006"),
    people=(VICTIM, "chi"),
    steps=(
        "On a copy where new keys wait to be confirmed, a thief enrols a key in Dee's name.",
        "At Chi's machine the thief confirms it with her key. Chi says that it was not her, and the key waits again.",
        "Chi's machine is hers again, and Dee lets its key count. The thief sends the same signature "
        "again, in another session of hers with a phished factor.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.KeyNotConfirmed", {"principal": VICTIM, "by": "chi", "code": CODE}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
