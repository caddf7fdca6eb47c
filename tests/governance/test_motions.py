"""Motions: closed only by a quorum of signed ballots, counted from the log; edited rows decide nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.governance.conftest import Committee
from tests.weights.world import LAB
from weighthouse.assurance.events import AttackRun
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.policy import api as policy


def code(refusal: pytest.ExceptionInfo[WeighthouseError]) -> str:
    return refusal.value.code


@pytest.fixture
def motion(committee: Committee) -> str:
    return committee.open(str(committee.hold("gil").hold)).motion.id


def test_case_c_03_a_vote_below_quorum_cannot_close(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    with pytest.raises(Conflict) as refusal:
        committee.close(motion)
    assert code(refusal) == "governance.no_quorum"
    assert "1 more of the 3 voting members" in refusal.value.message
    assert committee.status().held
    assert committee.facts("governance.MotionClosed") == []


def test_the_count_is_live_and_says_what_it_needs(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    tally = committee.motion(motion).tally
    assert (tally.present, tally.needed, tally.votes_for, tally.quorate) == (1, 2, 1, False)
    committee.cast("hana", motion, "abstain")
    tally = committee.motion(motion).tally
    assert (tally.quorate, tally.carried, tally.abstained) == (True, False, 1)


def test_a_lost_motion_lifts_nothing(committee: Committee, motion: str) -> None:
    for member, choice in (("gil", "against"), ("hana", "against"), ("ivo", "for")):
        committee.cast(member, motion, choice)
    assert committee.close(motion).outcome == "lost"
    assert committee.status().held
    with pytest.raises(Conflict) as refusal:
        committee.close(motion)
    assert code(refusal) == "governance.closed"


def test_case_c_05_recusal_leaves_the_count_and_is_final(committee: Committee, motion: str) -> None:
    committee.cast("ivo", motion, "recuse")
    assert committee.motion(motion).tally.seats == 2
    with pytest.raises(Conflict) as refusal:
        committee.cast("ivo", motion, "for")
    assert code(refusal) == "governance.recused"
    committee.cast("hana", motion)
    committee.cast("hana", motion, "recuse")
    committee.cast("gil", motion)
    with pytest.raises(Conflict) as alone:
        committee.close(motion)
    assert code(alone) == "governance.no_quorum"


def test_nobody_answers_twice(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    with pytest.raises(Conflict) as refusal:
        committee.cast("gil", motion, "against")
    assert code(refusal) == "governance.already_voted"


@pytest.mark.parametrize("who", ["dee", "fay", "eve"])
def test_case_c_04_whoever_has_no_voting_seat_neither_opens_nor_votes_nor_closes(
    committee: Committee, motion: str, who: str
) -> None:
    with pytest.raises(Denied):
        committee.open(str(committee.status().hold), who)
    with pytest.raises(WeighthouseError):
        committee.cast(who, motion)
    with pytest.raises(Denied):
        committee.close(motion, who)


def test_only_members_and_readers_of_the_log_see_motions(committee: Committee, motion: str) -> None:
    assert committee.motion(motion, "fay").statement == {}
    with pytest.raises(Denied):
        committee.motion(motion, "dee")


@pytest.mark.parametrize(
    ("story", "changed", "refused"),
    [
        ("another answer than was signed", {"signed": "abstain"}, "identity.bad_signature"),
        ("another motion's digest", {"digest": "sha256:" + "0" * 64}, "governance.other_motion"),
        ("no signature", {"signature": "A" * 86}, "identity.bad_signature"),
        ("no base64url", {"signature": "?"}, "governance.bad_signature_form"),
        ("a device that does not exist", {"device": "dev_" + "0" * 26}, "identity.device_unknown"),
        ("no such answer", {"choice": "maybe"}, "governance.unknown_choice"),
    ],
)
def test_a_ballot_is_a_signature_over_exactly_this(
    committee: Committee, motion: str, story: str, changed: dict[str, Any], refused: str
) -> None:
    with pytest.raises(WeighthouseError) as refusal:
        committee.cast("gil", motion, **changed)
    assert code(refusal) == refused, story
    assert committee.facts("governance.BallotCast") == []


def test_a_ballot_signed_by_somebody_elses_device_is_refused(committee: Committee, motion: str) -> None:
    device, _ = committee.device("ivo")
    statement = {**committee.motion(motion, "gil").statement, "ballot": "for", "device": device}
    with pytest.raises(Denied) as refusal:
        committee.cast("gil", motion, device=device, signature=committee.sign("ivo", statement))
    assert code(refusal) == "identity.bad_signature"


@pytest.mark.parametrize("shift", [-16 * MINUTE, MINUTE])
def test_a_ballot_signed_long_ago_or_in_the_future_is_refused(committee: Committee, motion: str, shift: int) -> None:
    with pytest.raises(Conflict) as refusal:
        committee.cast("gil", motion, at=committee.clock.now() + shift)
    assert code(refusal) == "governance.signature_stale"


EDITS = [
    "UPDATE governance_motion SET motion = replace(motion, 'finished', 'done with')",
    "UPDATE governance_motion SET motion = replace(motion, 'lift_hold', 'ordinary')",
    "UPDATE governance_motion SET motion = 'x'",
]
BALLOT_EDITS = [
    "UPDATE governance_ballot SET ballot = 'x'",
    "UPDATE governance_ballot SET ballot = CAST(x'ff' AS TEXT) WHERE member = 'hana'",
    "UPDATE governance_ballot SET ballot = json_set(ballot, '$.at', 9000000000000000000) WHERE member = 'hana'",
    "UPDATE governance_ballot SET ballot = json_set(ballot, '$.signature', '?') WHERE member = 'hana'",
    "UPDATE governance_ballot SET ballot = json_set(ballot, '$.session', 'ses_another')",
    "INSERT INTO governance_ballot SELECT motion, 'ivo', choice, device, '{}' FROM governance_ballot",
    "UPDATE governance_ballot SET choice = 'for', ballot = replace(ballot, 'against', 'for')",
    "DELETE FROM governance_ballot WHERE member = 'hana'",
    "UPDATE governance_ballot SET member = 'ivo', ballot = replace(ballot, '\"hana\"', '\"ivo\"') WHERE member = 'hana'",
    "INSERT INTO governance_ballot SELECT motion, 'ivo', choice, device, replace(ballot, '\"gil\"', '\"ivo\"') "
    "FROM governance_ballot WHERE member = 'gil'",
]


@pytest.mark.parametrize("edit", EDITS)
def test_edited_rows_decide_nothing(committee: Committee, motion: str, edit: str) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion, "against")
    assert committee.sql(edit) >= 1
    with pytest.raises(Unavailable) as refusal:
        committee.close(motion)
    unreadable = code(refusal) == "governance.row_unreadable"  # then its motion stands still, and says why
    assert unreadable or code(refusal) == "governance.rows_edited"
    assert len(committee.facts("governance.RowsEdited")) == (0 if unreadable else 1)
    assert committee.status().held


@pytest.mark.parametrize("edit", BALLOT_EDITS)
def test_rows_of_ballots_that_somebody_wrote_count_for_nothing_and_hinder_nobody(
    committee: Committee, motion: str, edit: str
) -> None:
    """One bad row, and the committee could decide nothing any more: what counts are the ballots of the log."""
    committee.cast("gil", motion)
    committee.cast("hana", motion, "against")
    before = committee.motion(motion)
    assert committee.sql(edit) >= 1
    shown = committee.motion(motion)
    assert (shown.tally, shown.fault, shown.voted) == (before.tally, "", ("gil", "hana"))
    with pytest.raises(Conflict) as again:
        committee.cast("hana", motion)
    assert code(again) == "governance.already_voted"
    committee.cast("ivo", motion, "against")
    assert committee.close(motion).outcome == "lost"
    assert committee.status().held
    (line,) = committee.facts("governance.TamperFound")
    assert line == {"what": motion, "code": "governance.ballot_row"}
    assert committee.facts("governance.RowsEdited") == []


def test_a_vote_against_cannot_be_hidden_by_editing_the_columns_that_find_it(
    committee: Committee, motion: str
) -> None:
    for member, choice in (("gil", "for"), ("ivo", "for"), ("hana", "against")):
        committee.cast(member, motion, choice)
    committee.sql("DELETE FROM governance_ballot WHERE member = 'hana'")
    committee.sql(
        "UPDATE log_entry SET kind = 'x.Y', subject = '' WHERE idx = "
        "(SELECT max(idx) FROM log_entry WHERE kind = 'governance.BallotCast')"
    )
    assert committee.close(motion).tally.votes_against == 1
    (fact,) = committee.facts("governance.MotionClosed")
    assert (fact["votes_for"], fact["votes_against"], fact["voted"]) == (2, 1, ["gil", "hana", "ivo"])


def test_reopening_a_closed_motion_in_the_database_does_not_reopen_it(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion, "against")
    committee.cast("hana", motion, "against")
    committee.close(motion)
    committee.sql("UPDATE governance_motion SET closed_at = NULL, outcome = NULL")
    with pytest.raises(Conflict) as refusal:
        committee.cast("ivo", motion)
    assert code(refusal) == "governance.closed"


def test_a_carried_outcome_written_into_the_database_lifts_nothing(committee: Committee, motion: str) -> None:
    committee.sql("UPDATE governance_motion SET closed_at = 1, outcome = 'carried'")
    assert committee.status().held
    assert committee.motion(motion).outcome is None


def test_a_motion_about_one_hold_does_not_lift_another(committee: Committee, motion: str) -> None:
    other = committee.hold("gil", "model/wren")
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    committee.close(motion)
    assert not committee.status().held
    assert committee.status("model/wren").hold == other.hold


def test_a_new_charter_voids_open_motions(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    changed = LAB.read_text("utf-8").replace(
        "ivo: {kind: director, independent: false}", "ivo: {kind: expert, independent: true}"
    )
    with begin(committee.system) as unit:
        policy.store(unit, changed, "lab.yaml")
    with pytest.raises(Conflict) as refusal:
        committee.cast("hana", motion)
    assert code(refusal) == "governance.charter_changed"


def test_a_ballot_falls_with_its_device_and_its_member_answers_again(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    committee.lose_device("hana")
    view = committee.motion(motion)
    assert (view.voted, view.void, view.waiting) == (("gil",), ("hana",), ("hana", "ivo"))
    with pytest.raises(Conflict) as refusal:
        committee.close(motion)
    assert code(refusal) == "governance.no_quorum"
    assert committee.status().held
    committee.cast("hana", motion)
    assert committee.motion(motion).void == ()
    assert committee.close(motion).outcome == "carried"


def test_a_ballot_does_not_fall_with_a_device_that_nobody_ended(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion, "against")
    assert committee.sql("DELETE FROM identity_device WHERE person = 'hana'") == 1
    with pytest.raises(Unavailable) as refusal:
        committee.close(motion)
    assert code(refusal) == "governance.rows_edited"
    assert "nobody ended it" in refusal.value.message


def test_a_recusal_stays_when_its_device_is_ended(committee: Committee, motion: str) -> None:
    committee.cast("hana", motion, "recuse")
    committee.lose_device("hana")
    with pytest.raises(Conflict) as refusal:
        committee.cast("hana", motion)
    assert code(refusal) == "governance.recused"
    assert committee.motion(motion).tally.recused == ("hana",)


def test_what_was_decided_is_shown_as_it_was_counted_whatever_became_of_the_devices(
    committee: Committee, motion: str
) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    decided = committee.close(motion)
    committee.lose_device("hana")
    later = committee.motion(motion)
    assert (later.tally, later.voted, later.outcome) == (decided.tally, ("gil", "hana"), "carried")
    assert (later.closable, later.waiting, later.fault) == (False, (), "")
    (fact,) = committee.facts("governance.MotionClosed")
    assert (fact["closed_by"], fact["voted"], fact["needed"]) == ("gil", ["gil", "hana"], 2)


@pytest.mark.parametrize("edit", ["UPDATE governance_motion SET motion = 'x'"])
def test_an_edited_motion_is_shown_with_its_fault_and_hides_no_other(
    committee: Committee, motion: str, edit: str
) -> None:
    committee.cast("gil", motion)
    committee.sql(edit)
    other = committee.open("a topic", cls="ordinary").motion.id
    fay = committee.person("fay")
    with begin(committee.system, fay) as unit:
        views = api.motions(unit, fay)
        first = api.motions_page(unit, fay, limit=1)
        assert [one.motion.id for one in first.items] == [other] and first.next is not None
        rest = api.motions_page(unit, fay, cursor=first.next)
        assert [one.motion.id for one in rest.items] == [motion] and rest.next is None
    found = {one.motion.id: one for one in views}
    assert found[other].fault == ""
    assert "tell different stories" in found[motion].fault
    assert not found[motion].closable


def test_nobody_closes_before_those_who_could_change_the_outcome_have_answered(committee: Committee) -> None:
    topic = committee.open("a topic", cls="ordinary").motion.id
    committee.cast("gil", topic, "for")
    committee.cast("hana", topic, "abstain")
    assert committee.motion(topic).tally.carried
    assert not committee.motion(topic).closable
    with pytest.raises(Conflict) as refusal:
        committee.close(topic)
    assert code(refusal) == "governance.not_settled"
    assert "ivo may still answer" in refusal.value.message
    committee.cast("ivo", topic, "against")
    assert committee.motion(topic).closable
    assert committee.close(topic).outcome == "lost"


def test_once_the_time_to_answer_is_over_a_quorum_closes_without_the_others(committee: Committee) -> None:
    topic = committee.open("a topic", cls="ordinary").motion.id
    committee.cast("gil", topic, "for")
    committee.cast("hana", topic, "abstain")
    committee.clock.advance(3 * DAY)
    assert committee.motion(topic).closable
    assert committee.close(topic, "ivo").outcome == "carried"


def test_a_clock_that_leapt_ends_nobodys_time_to_answer(committee: Committee) -> None:
    topic = committee.open("a topic", cls="ordinary").motion.id
    committee.cast("gil", topic, "for")
    committee.cast("hana", topic, "abstain")
    committee.clock.set(committee.clock.now() + 3 * DAY)
    assert not committee.motion(topic).closable
    with pytest.raises(Conflict) as refusal:
        committee.close(topic, "ivo")
    assert code(refusal) == "governance.not_settled"


def test_whoever_recused_does_not_close(committee: Committee, motion: str) -> None:
    committee.cast("ivo", motion, "recuse")
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    with pytest.raises(Conflict) as refusal:
        committee.close(motion, "ivo")
    assert code(refusal) == "governance.recused"
    assert committee.close(motion, "hana").outcome == "carried"


def test_case_c_02_a_term_that_ends_mid_vote_takes_its_ballot_with_it(committee: Committee) -> None:
    committee.charter(
        "hana: {kind: expert, independent: true}", 'hana: {kind: expert, independent: true, until: "{}"}'
    )
    motion = committee.open(str(committee.hold("gil").hold)).motion.id
    committee.cast("hana", motion)
    assert committee.motion(motion).tally.present == 1
    committee.clock.advance(2 * DAY)
    view = committee.motion(motion)
    assert (view.tally.present, view.tally.seats, view.fault) == (0, 2, "")
    committee.cast("ivo", motion)
    with pytest.raises(Conflict) as refusal:
        committee.close(motion)
    assert code(refusal) == "governance.no_quorum"
    with pytest.raises(Denied) as unseated:
        committee.cast("hana", motion)
    assert code(unseated) == "governance.no_voting_seat"
    committee.cast("gil", motion)
    assert committee.close(motion).outcome == "carried"


def test_a_member_votes_to_the_last_moment_of_their_last_day(committee: Committee) -> None:
    committee.charter(
        "hana: {kind: expert, independent: true}", 'hana: {kind: expert, independent: true, until: "{}"}'
    )
    motion = committee.open(str(committee.hold("gil").hold)).motion.id
    midnight = (committee.clock.now() // DAY + 2) * DAY
    committee.clock.advance(midnight - 1 - committee.clock.now())
    committee.cast("hana", motion)
    assert committee.motion(motion).tally.present == 1
    committee.clock.advance(1)
    assert committee.motion(motion).tally.present == 0
    with pytest.raises(Denied) as unseated:
        committee.cast("hana", motion)
    assert code(unseated) == "governance.no_voting_seat"


def test_case_c_02_whoever_has_left_the_lab_leaves_a_vacant_seat(committee: Committee) -> None:
    committee.charter(
        "    accounts: [{issuer: dev, subject: hana}]",
        "    accounts: [{issuer: dev, subject: hana}]\n    active: false",
    )
    with begin(committee.system) as unit:
        assert api.vacancies(unit) == ("the seat of hana is vacant",)
    motion = committee.open(str(committee.hold("gil").hold)).motion.id
    assert committee.motion(motion).tally.seats == 2


def test_a_motion_to_lift_names_a_hold_that_stands(committee: Committee) -> None:
    with pytest.raises(NotFound) as refusal:
        committee.open("hld_" + "0" * 26)
    assert code(refusal) == "governance.nothing_to_lift"


@pytest.mark.parametrize(
    ("cls", "text", "refused"),
    [("coup", "x", "governance.unknown_class"), ("ordinary", " ", "governance.bad_motion")],
)
def test_malformed_motions_are_refused(committee: Committee, cls: str, text: str, refused: str) -> None:
    gil = committee.person("gil")
    with pytest.raises(Invalid) as refusal, begin(committee.system, gil) as unit:
        api.open_motion(unit, gil, cls, "topic", text)
    assert code(refusal) == refused


def test_clearing_a_release_fails_while_an_attack_was_missed(committee: Committee) -> None:
    missed = AttackRun(
        scenario="slow-drip", title="", techniques=(), status="MISSED", expected="BLOCKED", room="egress", rule="",
        reason="", evidence=None, on="live",
    )  # fmt: skip
    with begin(committee.system) as unit:
        audit.append(unit, missed)
    motion = committee.open("model/tern", cls="release_clear").motion.id
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    assert committee.close(motion).outcome == "lost"
