"""A vote that fell with the word for its key does not count again when the key does."""

from __future__ import annotations

import pytest

from tests.access.support import Lab
from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity
from weighthouse.identity.api.confirming import mark_confirmed
from weighthouse.identity.jobs import followers

LATER = ("time", "a word for the key")
STOLEN = new_id("ses")


def standing(lab: Lab) -> str:
    with read(lab.system) as unit:
        found = access.explain_without_key(unit, lab.caller("ada"), "run.submit", "model/tern")
    return found.reasons[0].code


@pytest.fixture
def strict(lab: Lab) -> Lab:
    lab.system.settings = lab.system.settings.changed(**{"identity.new_keys": "confirm", "identity.new_key_s": 3600})
    return lab


def vouch(lab: Lab, who: str, session: str = "") -> None:
    device = lab.device(who)
    with begin(lab.system) as unit:
        found = identity.device(unit, device)
        mark_confirmed(unit, found, who if session else "system", "they said so", session=session)
    lab.clock.advance(1)


def disown(lab: Lab, again: str) -> None:
    """The session in which ben's key was let count is ended; later the key counts again, for another reason."""
    lab.clock.advance(1)
    with begin(lab.system) as unit:
        identity.end_session(unit, STOLEN, "not mine", "chi", of="ben")
    for follower in followers:
        while audit.pump(lab.system, follower):
            pass
    if again == "time":
        lab.clock.advance(2 * HOUR)
    else:
        vouch(lab, "ben")


@pytest.mark.parametrize("again", LATER)
def test_a_vote_that_fell_makes_no_grant_when_its_key_counts_again(strict: Lab, again: str) -> None:
    vouch(strict, "ben", STOLEN)
    vouch(strict, "chi")
    request = strict.ask()
    strict.vote("ben", request.id)
    disown(strict, again)
    assert strict.vote("chi", request.id).state == "pending"
    assert strict.grants("ada") == []
    vouch(strict, "ben")
    assert strict.vote("ben", request.id).state == "approved"  # its voter may say it again


def test_a_grant_stands_on_no_vote_that_fell_though_it_was_used_before(strict: Lab) -> None:
    """What was verified is kept; that a voter's key fell back is seen all the same, at the next use."""
    vouch(strict, "ben", STOLEN)
    vouch(strict, "chi")
    strict.grant()
    assert standing(strict) == "access.allowed"
    disown(strict, "a word for the key")
    assert standing(strict) == "identity.key_young"
