"""Theft: step back in a member's name with a key of the thief's, and be gone before the member ends the key."""

from __future__ import annotations

import base64

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.disowned_ballot import lift
from weighthouse.assurance.scenarios.disowned_key import raw
from weighthouse.assurance.scenarios.stolen_cookie_enrols import public_half
from weighthouse.assurance.scenarios.thieves_recusal import held_by_four
from weighthouse.core.canonical import digest, encode
from weighthouse.core.clock import SECOND
from weighthouse.core.ids import SessionId, new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "access.authority_refused"
VICTIM = "hana"
Loot = tuple[str, access.Authority, str]


def prepare(ground: Ground) -> Loot:
    """Two of four agree where three must; a thief enrols a key in a session of Hana's, recuses her, and is gone."""
    hold, motion, ballots = held_by_four(ground)
    thief = msgspec.structs.replace(ground.act_as(VICTIM).caller, session=SessionId(new_id("ses")))
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = public_half(own)
    honest.factor(ground, thief, "device.enrol", identity.thumbprint_of(jwk))
    with begin(ground.system, thief) as unit:
        key = identity.enrol_device(unit, thief, jwk, "not Hana's").id
    ground.later(SECOND)
    with begin(ground.system) as unit:
        at = unit.now
    here = identity.audience(ground.system)
    said = {"type": "weighthouse/ballot/2", "audience": here, "motion_digest": digest(motion), "ballot": "recuse"}
    signed = raw(own.sign(encode({**said, "voter": VICTIM, "device": key, "at": at}), ec.ECDSA(hashes.SHA256())))
    recusal = access.AuthorityBallot(
        voter=VICTIM,
        device=key,
        at=at,
        signature=base64.urlsafe_b64encode(signed).rstrip(b"=").decode(),
        choice="recuse",
        session=str(thief.session),
        audience=here,
    )
    ground.settle()
    return hold, access.Authority(motion=motion, ballots=(*ballots, recusal)), key


def attack(ground: Ground, loot: Loot) -> Observed:
    hold, authority, key = loot
    hana = ground.act_as(VICTIM).caller
    ground.later(SECOND)
    with begin(ground.system, hana) as unit:
        identity.end_device(unit, hana, key, "I have no such key.")
    ground.settle()
    return lift(ground, (hold, authority))


SCENARIO = Scenario(
    id="recusing-key",
    title="Step back in a member's name with a key of one's own, and be gone before the member ends it",
    techniques=("T1098.005", "T1550", "T1078", "catalogue 53"),
    people=("gil", "ivo", VICTIM),
    steps=(
        "On a copy whose committee has four seats, the chair holds Tern's release; two would lift it, not three.",
        "A thief with a session of Hana's enrols a key in it, recuses her with that key, and is gone.",
        "Hana ends the key that she does not know; with two of three left, the hold is to be lifted.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("identity.DeviceEnded", {"principal": VICTIM, "whose": "foreign"}),
            Trace("identity.SessionEnded", {"principal": VICTIM, "whose": "foreign"}),
            Trace("access.Denied", {"code": CODE}),
        ),
    ),
    prepare=prepare,
    attack=attack,
    on="copy",
)
