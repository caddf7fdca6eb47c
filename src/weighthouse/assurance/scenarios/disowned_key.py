"""Theft: confirm a key in a colleague's name at security's machine, and sign with it once that was taken back."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.stolen_cookie_enrols import public_half
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import DAY
from weighthouse.core.work import Unit, begin
from weighthouse.identity import api as identity

CODE = "identity.key_young"
VICTIM = "dee"
Loot = tuple[str, ec.EllipticCurvePrivateKey]


def seen_in_person(ground: Ground, person: str) -> None:
    """The operator of the machine confirms somebody's key."""
    with begin(ground.system) as unit:
        found = identity.device(unit, ground.act_as(person).device)
        identity.confirm_first_key(unit, person, found.id, mark=found.thumbprint, reason="read in person")


def enrolled_by_a_thief(ground: Ground) -> tuple[identity.Device, ec.EllipticCurvePrivateKey]:
    """New keys wait from here on, Chi's counts, and a thief enrols one in Dee's name."""
    dee = ground.act_as(VICTIM)
    seen_in_person(ground, "chi")
    # As in production: on a server that is only tried out, a new key counts at once.
    ground.system.settings = ground.system.settings.changed(**{"identity.new_keys": "confirm"})
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = public_half(own)
    honest.factor(ground, dee.caller, "device.enrol", identity.thumbprint_of(jwk))
    with begin(ground.system, dee.caller) as unit:
        return identity.enrol_device(unit, dee.caller, jwk, "not Dee's"), own


def prepare(ground: Ground) -> Loot:
    """A thief enrols a key in Dee's name, and confirms it in a session of Chi's, at her machine."""
    key, own = enrolled_by_a_thief(ground)
    chi = ground.act_as("chi")
    signed = honest.confirmation(ground, chi, key)
    with begin(ground.system, chi.caller) as unit:
        identity.confirm_others_key(unit, chi.caller, key.id, of=VICTIM, signed=signed)
    ground.settle()
    return key.id, own


def attack(ground: Ground, loot: Loot) -> Observed:
    chi = ground.act_as("chi").caller
    with begin(ground.system, chi) as unit:
        identity.disown(unit, chi)
    ground.settle()
    ground.later(2 * DAY)
    return tried(ground, None, "a key of a thief's that signs as Dee", signing_as_victim(*loot))


def signing_as_victim(device: str, own: ec.EllipticCurvePrivateKey) -> Callable[[Unit], None]:
    """What a thief with this key does in Dee's name."""

    def signing(unit: Unit) -> None:
        value = raw(own.sign(b"a vote", ec.ECDSA(hashes.SHA256())))
        identity.verify_device_signature(unit, device, VICTIM, b"a vote", value)

    return signing


def raw(signature: bytes) -> bytes:
    """An ECDSA signature as it is sent: r and s, 32 bytes each."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


SCENARIO = Scenario(
    id="disowned-key",
    title="Sign with a key that was confirmed in a session which was somebody else's",
    techniques=("T1098.005", "T1556.006", "T1078"),
    people=(VICTIM, "chi"),
    steps=(
        "On a copy where new keys wait to be confirmed, a thief enrols a key in Dee's name.",
        "At Chi's machine, in a session of hers, the thief confirms it with her key, as the second person.",
        "Chi says that it was not her; two days later the thief signs as Dee.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.KeyFellBack", {"principal": VICTIM, "act": "confirm", "by": "chi"}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
