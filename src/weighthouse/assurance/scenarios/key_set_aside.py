"""Theft: have a key of one's own grow up among those that its person has set aside, and come back with them."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.stolen_cookie_enrols import public_half
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.clock import DAY, HOUR
from weighthouse.core.work import Unit, begin
from weighthouse.identity import api as identity

CODE = "identity.key_not_aside"
Loot = tuple[str, str, ec.EllipticCurvePrivateKey]


def prepare(ground: Ground) -> Loot:
    chi, ben = ground.act_as("chi"), ground.act_as("ben")
    for one in (chi, ben):
        _confirmed(ground, str(one.caller.principal), one.device)
    # As in production: on a server that is only tried out, a new key counts at once.
    ground.system.settings = ground.system.settings.changed(**{"identity.new_keys": "confirm"})
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = public_half(own)
    honest.factor(ground, ben.caller, "device.enrol", identity.thumbprint_of(jwk))
    with begin(ground.system, ben.caller) as unit:
        device = identity.enrol_device(unit, ben.caller, jwk, "not Ben's").id
    with begin(ground.system, ben.caller) as unit:
        identity.disown(unit, ben.caller)
    ground.later(DAY + HOUR)
    return device, identity.thumbprint_of(jwk), own


def _confirmed(ground: Ground, person: str, device: str) -> None:
    """The operator of the machine has confirmed a key long ago."""
    with begin(ground.system) as unit:
        mark = identity.device(unit, device).thumbprint
        identity.confirm_first_key(unit, person, device, mark=mark, reason="read to the operator in person")


def attack(ground: Ground, loot: Loot) -> Observed:
    """Chi has been talked into one key more than Ben has read to her; the thief's then signs."""
    device, mark, own = loot
    chi = ground.act_as("chi").caller
    signed = honest.opening(ground, "chi", "person.key", f"ben/{mark}")

    def back_and_signing(unit: Unit) -> None:
        identity.restore_key(unit, "ben", device, chi, signed=signed)
        r, s = decode_dss_signature(own.sign(b"a vote", ec.ECDSA(hashes.SHA256())))
        value = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        identity.verify_device_signature(unit, device, "ben", b"a vote", value)

    return tried(ground, chi, "a key of a thief's that signs as Ben", back_and_signing)


SCENARIO = Scenario(
    id="key-set-aside",
    title="Have a thief's key grow up among those that its person has set aside",
    techniques=("T1098.005", "T1556.006"),
    people=("ben", "chi"),
    steps=(
        "On a copy where new keys wait to be confirmed, a thief enrols a key in Ben's name.",
        "Ben says that it was not him; a day passes, in which the key would have come to count.",
        "Chi lets keys of Ben's count again, and is talked into the thief's too.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.OpeningRefused", {"code": CODE, "act": "person.key"}),),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
