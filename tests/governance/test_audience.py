"""Ballots name the server that they were given for. The attacker has one that was given at another server."""

from __future__ import annotations

import pytest

from tests.governance.conftest import Committee
from weighthouse.audit import api as audit
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin
from weighthouse.governance import api, store
from weighthouse.governance.api import deciding
from weighthouse.identity import api as identity


@pytest.fixture
def motion(committee: Committee) -> str:
    return committee.open(str(committee.hold("gil").hold)).motion.id


def signed(committee: Committee, motion: str, who: str, audience: str) -> str:
    device, _ = committee.device(who)
    digest, at = committee.motion(motion, who).digest, committee.clock.now()
    return committee.sign(who, api.ballot_statement(digest, who, "for", device, at, audience=audience))


def test_a_ballot_that_was_signed_for_another_server_or_for_none_is_not_taken(
    committee: Committee, motion: str
) -> None:
    here = identity.audience(committee.system)
    assert committee.motion(motion, "gil").statement["audience"] == here
    for audience, code in (("https://staging.example#x", "identity.bad_signature"), ("", identity.OUTDATED)):
        with pytest.raises(Denied) as error:
            committee.cast("gil", motion, signature=signed(committee, motion, "gil", audience))
        assert error.value.code == code
    assert committee.motion(motion).voted == ()


def test_a_ballot_of_before_servers_were_named_still_counts_and_lifts(committee: Committee, motion: str) -> None:
    value = signed(committee, motion, "hana", "")
    device, _ = committee.device("hana")
    ballot = api.Ballot(
        motion=motion, member="hana", choice="for", at=committee.clock.now(), device=device, signature=value
    )
    digest = committee.motion(motion).digest
    with begin(committee.system) as unit:  # as the release before this one took it
        store.add_ballot(unit.conn, ballot)
        audit.append(unit, deciding._cast(ballot, digest))
    committee.cast("gil", motion)
    committee.cast("ivo", motion)
    assert committee.motion(motion).tally.votes_for == 3
    assert committee.close(motion).outcome == "carried" and not committee.status().held
