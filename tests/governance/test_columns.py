"""Attack: rename lines of the log by their columns, so that a decision of the committee finds none, or another.

Every line that a decision looks for is found by what its hashed bytes say, whatever the columns claim.
"""

from __future__ import annotations

import pytest

from tests.governance.conftest import Committee
from weighthouse.assurance.events import AttackRun
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY
from weighthouse.core.errors import Conflict, Unavailable, WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.governance import api

HIDE = "UPDATE log_entry SET kind = 'x.Y', subject = 'x' WHERE kind = :kind"


def code(refusal: pytest.ExceptionInfo[WeighthouseError]) -> str:
    return refusal.value.code


def hide(committee: Committee, kind: str) -> None:
    assert committee.sql(HIDE, kind=kind) >= 1


@pytest.fixture
def motion(committee: Committee) -> str:
    return committee.open(str(committee.hold("gil").hold)).motion.id


@pytest.mark.parametrize("choice", ["for", "against", "recuse"])
def test_a_closed_motion_whose_closing_was_renamed_takes_no_answer(
    committee: Committee, motion: str, choice: str
) -> None:
    committee.cast("gil", motion, "against")
    committee.cast("hana", motion, "for")
    committee.clock.advance(4 * DAY)
    assert committee.close(motion).outcome == "lost"
    hide(committee, "governance.MotionClosed")
    committee.sql("UPDATE governance_motion SET closed_at = NULL, outcome = NULL")
    with pytest.raises(Conflict) as refusal:
        committee.cast("ivo", motion, choice)
    assert code(refusal) == "governance.closed"
    with pytest.raises(Conflict) as again:
        committee.close(motion)
    assert code(again) == "governance.closed"
    assert committee.status().held


def test_a_renamed_ballot_is_counted(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion, "against")
    hide(committee, "governance.BallotCast")
    tally = committee.motion(motion).tally
    assert (tally.votes_for, tally.votes_against, tally.present) == (1, 1, 2)


def test_a_line_renamed_to_the_end_of_a_device_voids_no_ballot(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion, "against")
    committee.cast("hana", motion)
    device, _ = committee.device("gil")
    assert committee.sql("DELETE FROM identity_device WHERE id = :id", id=device) == 1
    committee.sql("UPDATE log_entry SET kind = 'identity.DeviceEnded', subject = :id WHERE idx = 0", id=device)
    view = committee.motion(motion)
    assert view.void == () and "nobody ended it" in view.fault
    with pytest.raises(Unavailable) as refusal:
        committee.close(motion)
    assert code(refusal) == "governance.rows_edited"


def test_a_renamed_end_of_a_device_still_voids_its_ballot(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    committee.lose_device("hana")
    hide(committee, "identity.DeviceEnded")
    assert committee.motion(motion).void == ("hana",)


def test_a_call_for_a_hold_that_was_renamed_still_counts(committee: Committee) -> None:
    assert not committee.hold("hana").held
    hide(committee, "governance.HoldCalled")
    committee.sql("DELETE FROM governance_call")
    assert committee.status().called_by == ("hana",)
    assert committee.hold("ivo").held


def test_an_attack_that_was_missed_bars_a_release_though_its_line_was_renamed(committee: Committee) -> None:
    with begin(committee.system) as unit:
        audit.append(unit, missed())
    hide(committee, AttackRun.KIND)
    motion = committee.open("model/tern", cls="release_clear").motion.id
    for member in ("gil", "hana", "ivo"):
        committee.cast(member, motion)
    assert not committee.motion(motion).tally.carried


def missed() -> AttackRun:
    return AttackRun(
        scenario="one-approval",
        title="One",
        techniques=("T1078",),
        status="MISSED",
        expected="BLOCKED",
        room="access",
        rule="access.allowed",
        reason="It was let through.",
        evidence=None,
        on="live",
    )


def test_every_renamed_line_is_told_by_the_running_check(committee: Committee, motion: str) -> None:
    committee.cast("gil", motion)
    hide(committee, "governance.BallotCast")
    assert "lists do not show it" in audit.look(committee.system).problem
    with read(committee.system) as unit:
        assert len(audit.entries(unit, kind="audit.LogDamaged")) == 1
    assert isinstance(committee.motion(motion), api.MotionView)
