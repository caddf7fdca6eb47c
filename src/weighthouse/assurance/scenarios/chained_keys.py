"""Theft: have a key confirm another, and sign with that one once what let the first count was taken back."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.disowned_key import VICTIM, enrolled_by_a_thief, raw, signing_as_victim
from weighthouse.assurance.scenarios.stolen_cookie_enrols import public_half
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import DAY
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "identity.key_young"
Loot = tuple[str, ec.EllipticCurvePrivateKey]


def prepare(ground: Ground) -> Loot:
    """A thief's key in Dee's name is confirmed at Chi's machine, and confirms a second one of the thief's."""
    first, own = enrolled_by_a_thief(ground)
    chi, dee = ground.act_as("chi"), ground.act_as(VICTIM).caller
    signed = honest.confirmation(ground, chi, first)
    with begin(ground.system, chi.caller) as unit:
        identity.confirm_others_key(unit, chi.caller, first.id, of=VICTIM, signed=signed)
    another = ec.generate_private_key(ec.SECP256R1())
    jwk = public_half(another)
    honest.factor(ground, dee, "device.enrol", identity.thumbprint_of(jwk))
    with begin(ground.system, dee) as unit:
        second = identity.enrol_device(unit, dee, jwk, "not Dee's either")
    honest.factor(ground, dee, "device.confirm", second.thumbprint)
    with begin(ground.system, dee) as unit:
        said = identity.confirmation(second, audience=identity.audience(ground.system), by=first.id, at=unit.now)
        value = raw(own.sign(said, ec.ECDSA(hashes.SHA256())))
        seal = identity.KeySignature(device=first.id, at=unit.now, value=value)
        identity.confirm_own_key(unit, dee, second.id, signed=seal)
    ground.settle()
    return second.id, another


def attack(ground: Ground, loot: Loot) -> Observed:
    chi = ground.act_as("chi").caller
    with begin(ground.system, chi) as unit:
        identity.disown(unit, chi)
    ground.settle()
    ground.later(2 * DAY)
    return tried(ground, None, "the second key of a thief's that signs as Dee", signing_as_victim(*loot))


SCENARIO = Scenario(
    id="chained-keys",
    title="Sign with a key that was confirmed by one which fell back since",
    techniques=("T1098.005", "T1556.006", "T1078"),
    people=(VICTIM, "chi"),
    steps=(
        "On a copy where new keys wait to be confirmed, a thief enrols a key in Dee's name.",
        "At Chi's machine the thief confirms it with her key, and with it confirms a second one in Dee's name.",
        "Chi says that it was not her; two days later the thief signs as Dee with the second.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.KeyFellBack", {"principal": VICTIM, "act": "confirm", "by": VICTIM}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
