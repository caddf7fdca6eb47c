"""What fell stays fallen: neither time, nor a later word for its key, gives an answer back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.governance.test_disowned_ballots import Signed
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, WeighthouseError
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.api.confirming import mark_confirmed
from weighthouse.identity.jobs import followers


class Strict(Signed):
    """A committee in a lab where new keys wait to be confirmed."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path) -> None:
        super().__init__(database, clock, folder)
        self.system.settings = self.system.settings.changed(**{"identity.new_keys": "confirm"})

    def vouch(self, who: str, session: str = "") -> None:
        """The key that a member signs with now counts: the operator says so, or whoever acts in this session."""
        with begin(self.system) as unit:
            found = identity.device(unit, self.device(who)[0])
            mark_confirmed(unit, found, who if session else "system", "they said so", session=session)
        self.clock.advance(1)

    def follow(self) -> None:
        for follower in followers:
            while audit.pump(self.system, follower):
                pass


@pytest.fixture
def committee(database: Database, clock: ManualClock, tmp_path: Path) -> Strict:
    return Strict(database, clock, tmp_path)


@pytest.fixture
def motion(committee: Strict) -> str:
    for who in ("gil", "hana", "ivo"):
        committee.device(who)
        committee.vouch(who)
    hold = committee.hold().hold
    assert hold is not None
    return committee.open(hold).motion.id


def stolen(committee: Strict, motion: str, choice: str) -> tuple[str, object]:
    """A thief at hana's laptop lets a key of the thief's count, and answers with it in a session that signs out."""
    own = committee.devices.pop("hana")
    at_laptop, elsewhere = committee.begin_session("hana"), committee.begin_session("hana")
    committee.device("hana")
    committee.vouch("hana", at_laptop)
    committee.cast("hana", motion, choice)
    with begin(committee.system) as unit:
        identity.end_session(unit, elsewhere, "signed out", committee.person("hana"))
    theirs, committee.devices["hana"] = committee.devices["hana"], own
    committee.begin_session("hana")
    committee.stop("its owner", "hana", at_laptop)
    return theirs[0], theirs


def test_a_ballot_that_fell_with_its_key_does_not_stand_again_when_the_key_has_grown(
    committee: Strict, motion: str
) -> None:
    stolen(committee, motion, "for")
    assert committee.motion(motion).void == ("hana",)
    committee.cast("hana", motion, "against")
    committee.follow()
    committee.clock.advance(25 * HOUR)
    view = committee.motion(motion)
    assert (view.fault, view.tally.votes_for, view.tally.votes_against, view.void) == ("", 0, 1, ())
    committee.cast("gil", motion)
    with pytest.raises(Conflict):
        committee.close(motion)
    assert committee.status().held and committee.facts("governance.RowsEdited") == []


@pytest.mark.parametrize("again", ["time", "a word for the key"])
def test_what_fell_stays_fallen_though_its_member_has_not_answered(
    committee: Strict, motion: str, again: str
) -> None:
    stolen_key, theirs = stolen(committee, motion, "for")
    committee.follow()
    if again == "time":
        committee.clock.advance(25 * HOUR)
    else:
        with begin(committee.system) as unit:
            mark_confirmed(unit, identity.device(unit, str(stolen_key)), "system", "read out by its owner")
    with begin(committee.system, SYSTEM) as unit:  # the key itself counts now, from now on
        identity.device(unit, str(stolen_key))
    view = committee.motion(motion)
    assert (view.void, view.tally.votes_for) == (("hana",), 0)
    committee.cast("hana", motion, "against")
    assert committee.motion(motion).tally.votes_against == 1
    assert theirs


def test_a_recusal_with_a_key_that_never_counted_of_itself_falls_with_what_vouched_for_it(
    committee: Strict, motion: str
) -> None:
    stolen(committee, motion, "recuse")
    view = committee.motion(motion)
    assert (view.void, view.tally.recused) == (("hana",), ())


def test_what_was_signed_before_its_key_counted_is_signed_anew(committee: Strict, motion: str) -> None:
    """A statement that names an earlier moment than that from which its key counts is refused when it is cast, too."""
    committee.devices.pop("hana")
    committee.begin_session("hana")
    device, _ = committee.device("hana")
    at = committee.clock.now()
    view = committee.motion(motion, "hana")
    signature = committee.sign("hana", {**view.statement, "ballot": "for", "device": device, "at": at})
    committee.clock.advance(1000)
    committee.vouch("hana")
    with pytest.raises(WeighthouseError) as refusal:
        committee.cast("hana", motion, device=device, at=at, signature=signature)
    assert refusal.value.code == "identity.key_young"
    committee.cast("hana", motion)
    assert committee.motion(motion).voted == ("hana",)
