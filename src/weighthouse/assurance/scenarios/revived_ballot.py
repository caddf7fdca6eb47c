"""Theft: answer for a member with a key of one's own, and wait until that key, whose confirmation fell, has grown."""

from __future__ import annotations

import base64

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest, lifted_hold
from weighthouse.assurance.scenarios.disowned_ballot import lift, signed_ballot
from weighthouse.assurance.scenarios.stolen_cookie_enrols import public_half
from weighthouse.core.canonical import digest, encode
from weighthouse.core.clock import DAY
from weighthouse.core.ids import SessionId, new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.api.confirming import mark_confirmed

CODE = "access.authority_refused"
VICTIM = "hana"
Loot = tuple[str, access.Authority]


def prepare(ground: Ground) -> Loot:
    """The chair answers that Tern's hold be lifted; so does a thief's key, in Hana's name."""
    chair = ground.act_as("gil")
    for who in ("gil", VICTIM):
        device = ground.act_as(who).device
        with begin(ground.system) as unit:
            mark = identity.device(unit, device).thumbprint
            identity.confirm_first_key(unit, who, device, mark=mark, reason="read to the operator in person")
    # As in production: on a server that is only tried out, a new key counts at once.
    ground.system.settings = ground.system.settings.changed(**{"identity.new_keys": "confirm"})
    hold, own = lifted_hold.prepare(ground), str(chair.caller.session)
    motion = {"type": "weighthouse/motion/1", "act": "lift", "hold": hold}
    ballots = (signed_ballot(ground, "gil", motion, own), _thiefs(ground, motion))
    return hold, access.Authority(motion=motion, ballots=ballots)


def _thiefs(ground: Ground, motion: dict[str, str]) -> access.AuthorityBallot:
    """A key enrolled in one session and confirmed in another answers; its confirmation falls with the latter."""
    at_laptop, elsewhere = SessionId(new_id("ses")), SessionId(new_id("ses"))
    caller = msgspec.structs.replace(ground.act_as(VICTIM).caller, session=elsewhere)
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = public_half(key)
    honest.factor(ground, caller, "device.enrol", identity.thumbprint_of(jwk))
    with begin(ground.system, caller) as unit:
        made = identity.enrol_device(unit, caller, jwk, "not Hana's")
        mark_confirmed(unit, made, VICTIM, "by her older key, at her laptop", session=at_laptop)
    with begin(ground.system) as unit:
        at = unit.now
    said = {"type": "weighthouse/ballot/1", "motion_digest": digest(motion), "ballot": "for", "voter": VICTIM}
    r, s = decode_dss_signature(key.sign(encode({**said, "device": made.id, "at": at}), ec.ECDSA(hashes.SHA256())))
    value = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
    with begin(ground.system) as unit:
        identity.end_session(unit, at_laptop, "I am at home, and that is not me.", "chi", of=VICTIM)
    ground.settle()
    return access.AuthorityBallot(voter=VICTIM, device=made.id, at=at, signature=value, session=elsewhere)


def attack(ground: Ground, loot: Loot) -> Observed:
    _, authority = loot
    ground.later(2 * DAY)
    with begin(ground.system) as unit:
        made = identity.device(unit, authority.ballots[1].device)
        mark_confirmed(unit, made, "chi", "by security, who believed the voice on the telephone")
    return lift(ground, loot)


SCENARIO = Scenario(
    id="revived-ballot",
    title="Have an answer that fell with its key stand again, because the key counts again",
    techniques=("T1098.005", "T1550", "T1078", "catalogue 53"),
    people=("gil", VICTIM),
    steps=(
        "On a copy where new keys wait to be confirmed, the chair holds Tern's release.",
        "A thief at Hana's laptop confirms a key of the thief's, which answers to lift it; security ends that.",
        "Two days later security confirms that key; with the chair's answer and its own, the hold falls.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=attack,
    on="copy",
)
