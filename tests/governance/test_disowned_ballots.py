"""A ballot given in a session that was somebody else's falls for good, and blocks nothing; its member answers anew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.governance.conftest import Committee
from tests.weights.world import TERN
from weighthouse.access import api as access
from weighthouse.core.caller import SYSTEM, Assurance, Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, Denied
from weighthouse.core.work import begin
from weighthouse.governance import store
from weighthouse.governance.api import counting
from weighthouse.governance.model import Motion
from weighthouse.identity import api as identity
from weighthouse.identity.api.sessions import open_session
from weighthouse.identity.api.states import change_state


class Signed(Committee):
    """A committee whose members act in sessions."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path) -> None:
        self.sessions: dict[str, str] = {}
        super().__init__(database, clock, folder)

    def person(self, name: str) -> Caller:
        return msgspec.structs.replace(super().person(name), session=self.sessions.get(name))

    def begin_session(self, who: str, key: str = "") -> str:
        """Sign a member in; what they do from now on is done in this session, which is bound to a key."""
        with begin(self.system) as unit:
            session, _ = open_session(
                unit, person=who, binding="dpop", key=key or f"key of {self.clock.now()}", address="127.0.0.1",
                network="", user_agent="x", device_mark=key, assurance=Assurance(2, unit.now, "otp"),
                account=super().person(who).account, reasons=(),
            )  # fmt: skip
        self.clock.advance(1)
        self.sessions[who] = session.id
        return session.id

    def stop(self, how: str, who: str, thief: str) -> None:
        """Take a session back, as `how` says; the member is in a session of their own already."""
        self.clock.advance(1)
        caller = self.person(who)
        with begin(self.system, caller) as unit:
            if how == "not me":
                identity.disown(unit, caller)
            elif how == "freeze":
                identity.freeze(unit, who, "a stolen laptop", self.person("chi"))
                identity.thaw(unit, who, "a new one", SYSTEM)
            elif how == "a detection":
                identity.end_sessions_of(unit, who, "detect:elsewhere", SYSTEM)
            else:
                identity.end_session(unit, thief, "not mine", caller if how == "its owner" else self.person("chi"))
        self.clock.advance(1)

    def keys_back(self, who: str) -> None:
        """Let every key of theirs count again, as security does, or whoever writes the database."""
        with begin(self.system) as unit:
            change_state(
                unit, who, lambda s: msgspec.structs.replace(s, devices=(*s.devices, *s.suspended), suspended=())
            )


@pytest.fixture
def committee(database: Database, clock: ManualClock, tmp_path: Path) -> Signed:
    return Signed(database, clock, tmp_path)


@pytest.fixture
def motion(committee: Signed) -> str:
    hold = committee.hold().hold
    assert hold is not None
    return committee.open(hold).motion.id


def stolen(committee: Signed, motion: str, choice: str, how: str) -> None:
    """A thief answers at hana's laptop, in a session of its own; hana takes it back."""
    for who in ("hana", "gil", "ivo"):
        committee.device(who)
    thief = committee.begin_session("hana")
    committee.cast("hana", motion, choice)
    committee.begin_session("hana")
    committee.stop(how, "hana", thief)


STOPS = ("its owner", "security", "not me", "freeze", "a detection")


@pytest.mark.parametrize("how", STOPS)
def test_a_ballot_of_a_thiefs_session_falls_for_good_and_its_member_answers_anew(
    committee: Signed, motion: str, how: str
) -> None:
    stolen(committee, motion, "for", how)
    committee.keys_back("hana")
    view = committee.motion(motion)
    assert (view.fault, view.voted, view.void, view.tally.votes_for) == ("", (), ("hana",), 0)
    committee.begin_session("gil")
    committee.cast("gil", motion)
    with pytest.raises(Conflict) as refusal:
        committee.close(motion)
    assert refusal.value.code == "governance.no_quorum" and committee.status().held
    committee.begin_session("hana")
    committee.cast("hana", motion)
    assert committee.motion(motion).void == () and committee.motion(motion).tally.votes_for == 2
    assert committee.close(motion).outcome == "carried" and not committee.status().held
    assert committee.facts("governance.RowsEdited") == []


@pytest.mark.parametrize("how", ["not me", "freeze"])
def test_keys_that_are_set_aside_block_no_motion_and_tell_no_tampering(
    committee: Signed, motion: str, how: str
) -> None:
    stolen(committee, motion, "for", how)
    assert committee.motion(motion, "gil").fault == "" and committee.motion(motion, "gil").statement
    committee.begin_session("gil")
    committee.cast("gil", motion)
    del committee.devices["hana"]  # she has a new key before security gives her the old one back
    committee.begin_session("hana")
    committee.cast("hana", motion)
    assert committee.close(motion).outcome == "carried"
    assert committee.facts("governance.RowsEdited") == []


def test_a_ballot_of_a_session_that_signed_itself_out_counts(committee: Signed, motion: str) -> None:
    session = committee.begin_session("hana")
    committee.cast("hana", motion)
    with begin(committee.system) as unit:
        identity.end_session(unit, session, "signed out", committee.person("hana"))
    assert committee.motion(motion).voted == ("hana",)
    committee.begin_session("hana")
    with pytest.raises(Conflict) as refusal:
        committee.cast("hana", motion)
    assert refusal.value.code == "governance.already_voted"


@pytest.mark.parametrize("how", STOPS)
def test_a_no_counts_until_its_member_has_answered_again(committee: Signed, motion: str, how: str) -> None:
    """Else whoever may end a session takes a "no" back right before a motion is closed."""
    stolen(committee, motion, "against", how)
    view = committee.motion(motion)
    assert (view.void, view.tally.votes_against) == (("hana",), 1)
    committee.keys_back("hana")
    committee.begin_session("hana")
    committee.cast("hana", motion, "for")
    view = committee.motion(motion)
    assert (view.void, view.tally.votes_for, view.tally.votes_against) == ((), 1, 0)


@pytest.mark.parametrize("how", STOPS)
def test_a_recusal_of_a_thiefs_session_falls_and_its_member_answers(committee: Signed, motion: str, how: str) -> None:
    stolen(committee, motion, "recuse", how)
    view = committee.motion(motion)
    assert (view.fault, view.void, view.tally.recused) == ("", ("hana",), ())
    committee.keys_back("hana")
    committee.begin_session("hana")
    committee.cast("hana", motion, "against")
    view = committee.motion(motion)
    assert (view.void, view.tally.recused, view.tally.votes_against) == ((), (), 1)


@pytest.mark.parametrize("how", STOPS)
def test_a_thiefs_recusal_takes_no_signed_no_back(committee: Signed, how: str) -> None:
    """Hana said no at her own desk; a thief steps back in her name. What she said before counts as if it had not."""
    motion = committee.open("evaluation", cls="ordinary").motion.id
    for who in ("gil", "hana", "ivo"):
        committee.device(who)
    committee.begin_session("hana")
    committee.cast("hana", motion, "against")
    thief = committee.begin_session("hana")
    committee.cast("hana", motion, "recuse")
    committee.begin_session("hana")
    committee.stop(how, "hana", thief)
    committee.cast("gil", motion, "for")
    committee.cast("ivo", motion, "abstain")
    view = committee.motion(motion)
    assert (view.fault, view.tally.recused, view.tally.votes_against, view.tally.carried) == ("", (), 1, False)
    if view.void:  # her own "no" fell, too, with everything of hers: until she answers it counts, and nobody closes
        committee.keys_back("hana")
        committee.begin_session("hana")
        committee.cast("hana", motion, "against")
    assert committee.close(motion).outcome == "lost"
    assert committee.facts("governance.RowsEdited") == []


def test_a_recusal_of_a_members_own_is_final_though_its_session_signs_out(committee: Signed, motion: str) -> None:
    session = committee.begin_session("hana")
    committee.cast("hana", motion, "recuse")
    with begin(committee.system) as unit:
        identity.end_session(unit, session, "signed out", committee.person("hana"))
    committee.begin_session("hana")
    with pytest.raises(Conflict) as refusal:
        committee.cast("hana", motion)
    assert refusal.value.code == "governance.recused"


def test_a_ballot_from_before_sessions_were_kept_falls_with_any_session_that_is_taken_back(
    committee: Signed, motion: str
) -> None:
    committee.device("hana")
    committee.cast("hana", motion)
    assert committee.motion(motion).voted == ("hana",)
    thief = committee.begin_session("hana")
    committee.begin_session("hana")
    committee.stop("its owner", "hana", thief)
    assert committee.motion(motion).void == ("hana",)


def test_a_row_that_says_another_session_changes_nothing_and_is_told(committee: Signed, motion: str) -> None:
    committee.begin_session("hana")
    committee.cast("hana", motion)
    assert committee.sql("UPDATE governance_ballot SET ballot = json_set(ballot, '$.session', 'ses_another')") == 1
    assert (committee.motion(motion).fault, committee.motion(motion).voted) == ("", ("hana",))
    committee.begin_session("gil")
    committee.cast("gil", motion)
    assert committee.close(motion).outcome == "carried"
    assert len(committee.facts("governance.TamperFound")) == 1


def authority(committee: Signed, motion: str) -> tuple[Motion, access.Authority]:
    with begin(committee.system) as unit:
        row = store.find_motion(unit.conn, motion)
        assert row is not None
        cast = [one for one in store.ballots_on(unit.conn, motion) if one is not None]
    ballots = tuple(
        access.AuthorityBallot(
            voter=one.member, device=one.device, at=one.at, signature=one.signature, choice=one.choice,
            session=one.session, audience=one.audience,
        )
        for one in cast
    )  # fmt: skip
    return row.motion, access.Authority(motion=row.motion.statement(), ballots=ballots)


def test_access_itself_lifts_no_hold_by_ballots_of_a_thiefs_session(committee: Signed, motion: str) -> None:
    committee.begin_session("gil")
    committee.cast("gil", motion)
    stolen(committee, motion, "for", "its owner")
    asked, signed = authority(committee, motion)
    gil = committee.person("gil")
    with pytest.raises(Denied) as refusal, begin(committee.system, gil) as unit:
        access.lift_hold(unit, gil, asked.subject, "decided", authority=signed)
    assert refusal.value.code == "access.authority_refused" and committee.status(TERN).held
    assert counting.digest_of(asked).startswith("sha256:")
