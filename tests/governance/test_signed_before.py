"""No vote and no ballot is taken that a key signed before the session of its laptop was ended as stolen."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.governance.test_disowned_ballots import Signed
from weighthouse.access import api as access
from weighthouse.core.canonical import encode
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity

STALE = "identity.signature_stale"


@pytest.fixture
def committee(database: Database, clock: ManualClock, tmp_path: Path) -> Signed:
    return Signed(database, clock, tmp_path)


def laptop(committee: Signed, who: str) -> str:
    """A session at the machine whose key they have."""
    device, _ = committee.device(who)
    with read(committee.system) as unit:
        key = identity.device(unit, device).thumbprint
    return committee.begin_session(who, key)


def ended(committee: Signed, who: str, session: str, *, out: bool) -> None:
    """The session is taken back from another one, in which its person, or the thief, acts from now on."""
    if out:
        with begin(committee.system) as unit:
            identity.end_session(unit, session, identity.SIGNED_OUT, committee.person(who))
    committee.begin_session(who)
    if not out:
        committee.stop("its owner", who, session)


def refused(committee: Signed) -> list[tuple[str, str]]:
    return [(one["act"], one["code"]) for one in committee.facts("identity.OpeningRefused")]


@pytest.mark.parametrize("out", [False, True], ids=["stolen", "signed out"])
@pytest.mark.parametrize("choice", ["for", "recuse"])
def test_a_ballot_signed_at_a_stolen_laptop_is_cast_from_no_other_session(
    committee: Signed, choice: str, out: bool
) -> None:
    hold = committee.hold().hold
    assert hold is not None
    motion = committee.open(hold).motion.id
    session = laptop(committee, "hana")
    view = committee.motion(motion, "hana")
    at = committee.clock.now()
    statement = {**view.statement, "ballot": choice, "device": committee.device("hana")[0], "at": at}
    taken_along = committee.sign("hana", statement)
    committee.clock.advance(1)
    ended(committee, "hana", session, out=out)
    if out:
        committee.cast("hana", motion, choice, at=at, signature=taken_along)
        return
    with pytest.raises(Conflict) as refusal:
        committee.cast("hana", motion, choice, at=at, signature=taken_along)
    assert refusal.value.code == STALE and refused(committee) == [("committee.ballot", STALE)]
    assert committee.facts("governance.BallotCast") == []
    committee.clock.advance(1)
    committee.cast("hana", motion, choice)
    assert len(committee.facts("governance.BallotCast")) == 1


def test_a_vote_signed_at_a_stolen_laptop_is_cast_from_no_other_session(committee: Signed) -> None:
    ada = committee.person("ada")
    with begin(committee.system, ada) as unit:
        request = access.submit(
            unit, ada, entitlement="tern-train", resource="model/tern", duration=HOUR, reason="Train the model on."
        ).id
    session = laptop(committee, "ben")
    sent = signed(committee, "ben", request)
    committee.clock.advance(1)
    ended(committee, "ben", session, out=False)
    with pytest.raises(Conflict) as refusal:
        vote(committee, "ben", request, sent)
    assert refusal.value.code == STALE and refused(committee) == [("request.vote", STALE)]
    assert committee.facts("access.VoteCast") == []
    committee.clock.advance(1)
    vote(committee, "ben", request, signed(committee, "ben", request))
    assert len(committee.facts("access.VoteCast")) == 1


def signed(committee: Signed, who: str, request: str) -> tuple[str, access.VoteSignature]:
    """What a key signs on the card of a request, with the digest that the card shows."""
    device, key = committee.device(who)
    with read(committee.system) as unit:
        card = access.card(unit, committee.person(who), request)
    statement: dict[str, Any] = {**card.statement, "verdict": "approve", "device": device}
    r, s = decode_dss_signature(key.sign(encode(statement), ec.ECDSA(hashes.SHA256())))
    value = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
    return card.digest, access.VoteSignature(kind="device", at=statement["at"], device=device, value=value)


def vote(committee: Signed, who: str, request: str, sent: tuple[str, access.VoteSignature]) -> None:
    caller, (digest, signature) = committee.person(who), sent
    committee.confirm(who, "request.vote", request, verdict="approve", digest=digest)
    with begin(committee.system, caller) as unit:
        access.vote(unit, caller, request, "approve", digest=digest, signature=signature)
