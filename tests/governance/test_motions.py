"""Motions: closed only by a quorum of signed ballots, counted from the log; edited rows decide nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.governance.conftest import Committee
from tests.weights.world import LAB
from weighthouse.assurance.events import AttackRun
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.identity import api as identity
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
    "UPDATE governance_ballot SET choice = 'for', ballot = replace(ballot, 'against', 'for')",
    "DELETE FROM governance_ballot WHERE member = 'hana'",
    "UPDATE governance_ballot SET member = 'ivo', ballot = replace(ballot, '\"hana\"', '\"ivo\"') WHERE member = 'hana'",
    "INSERT INTO governance_ballot SELECT motion, 'ivo', choice, replace(ballot, '\"gil\"', '\"ivo\"') "
    "FROM governance_ballot WHERE member = 'gil'",
    "UPDATE governance_motion SET motion = 'x'",
]


@pytest.mark.parametrize("edit", EDITS)
def test_edited_rows_decide_nothing(committee: Committee, motion: str, edit: str) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion, "against")
    assert committee.sql(edit) >= 1
    with pytest.raises(Unavailable) as refusal:
        committee.close(motion)
    assert code(refusal) in ("governance.rows_edited", "governance.row_unreadable")
    assert committee.status().held


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
    with pytest.raises(Unavailable):
        committee.close(motion)


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


def test_a_ballot_of_a_device_that_was_ended_no_longer_counts(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    hana = committee.person("hana")
    with begin(committee.system, hana) as unit:
        identity.end_device(unit, hana, committee.device("hana")[0], "lost laptop")
    with pytest.raises(NotFound):
        committee.close(motion)
    assert committee.status().held


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
