"""Theft: with a colleague's session, minutes after their second factor, enrol a key of one's own in their name."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ec

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.identity import api as identity

CODE = "identity.act_unconfirmed"


def own_key() -> dict[str, str]:
    """Return the public half of a key that the thief has just made."""
    return public_half(ec.generate_private_key(ec.SECP256R1()))


def public_half(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Return the public half of a key as it is enrolled."""
    numbers = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def attack(ground: Ground, _prepared: None) -> Observed:
    session, key = ground.act_as("ben").caller, own_key()
    return tried(
        ground,
        session,
        "a key that signs in a colleague's name",
        lambda unit: identity.enrol_device(unit, session, key, "not Ben's"),
    )


SCENARIO = Scenario(
    id="stolen-cookie-enrols",
    title="Enrol a key of one's own in a colleague's session, just after their second factor",
    techniques=("T1539", "T1098.005", "T1556.006"),
    people=("ben",),
    steps=(
        "On a copy, Ben is signed in and gave a second factor a moment ago.",
        "A thief with his session enrols a key.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(Trace("identity.ActUnconfirmed", {"act": "device.enrol"}),),
    ),
    attack=attack,
    on="copy",
)
