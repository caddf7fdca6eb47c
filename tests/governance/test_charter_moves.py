"""The charter moves by a carried motion of the seats it had, and by nothing that fewer than its quorum can do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.governance.nine import MEMBERS, Nine, text
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.governance.model import Motion
from weighthouse.policy import api as policy

SIX = MEMBERS[:6]
TWO_LEFT = text(**dict.fromkeys(MEMBERS[2:], "")).replace(
    "release: {present: 5, approve: 5", "release: {present: 2, approve: 2"
)
PACKED = TWO_LEFT.replace("hold: {present: 5, approve: 3", "hold: {present: 2, approve: 2").replace(
    "committee: {team: committee, count: 5}", "committee: {team: committee, count: 2}"
)
OTHER = text(m9="{kind: expert, independent: true}")


def gone(lab: str) -> str:
    """The same text with the people who lose their seats left in the lab, out of the committee's team."""
    for one in MEMBERS[2:]:
        mine = lab.index(f"\n  {one}:\n    name:")
        at = lab.index("teams: [committee]", mine)
        lab = lab[:at] + lab[at:].replace("teams: [committee]", "teams: []", 1)
    return lab


@pytest.fixture
def nine(database: Database, clock: ManualClock, tmp_path: Path) -> Nine:
    return Nine(database, clock, tmp_path)


def refused(nine: Nine, lab: str) -> str:
    """Publish a text that is refused for want of a motion, with one line; return why."""
    before, version = len(denied(nine)), current(nine)
    with pytest.raises(Denied) as refusal:
        nine.publish(lab)
    assert refusal.value.code == "access.charter_needs_motion"
    assert len(denied(nine)) == before + 1
    assert current(nine) == version
    return refusal.value.message


def denied(nine: Nine) -> list[str]:
    nine.settle()
    return [one["code"] for one in nine.facts("access.Denied") if one["code"] == "access.charter_needs_motion"]


def current(nine: Nine) -> int:
    with begin(nine.system) as unit:
        return policy.current(unit).version


def carried(nine: Nine, lab: str) -> str:
    motion = nine.move(lab)
    nine.answer(motion, "for", *SIX)
    nine.clock.advance(3 * DAY)
    assert nine.close(motion).outcome == "carried"
    nine.settle()
    return motion


def test_the_other_seats_are_not_removed_by_approvals_alone(nine: Nine) -> None:
    packed = gone(PACKED)
    nine.approved(packed)
    why = refused(nine, packed)
    assert "the seat of 'ivo' goes" in why and "no motion names this text" in why


def test_a_carried_motion_moves_the_charter_once_and_is_named_in_the_log(
    any_database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    nine = Nine(any_database, clock, tmp_path)
    motion = carried(nine, OTHER)
    nine.approved(OTHER)
    assert nine.publish(OTHER).version == 2
    published = nine.facts("access.PolicyPublished")[-1]
    assert (published["motion"], published["by"]) == (motion, "dee")
    assert "takes a carried motion" in published["changes"][0]
    carried(nine, text())
    nine.approved(text())
    nine.publish(text())
    nine.approved(OTHER)
    assert "opened under another policy" in refused(nine, OTHER)


def test_another_text_is_not_published_under_a_carried_motion(nine: Nine) -> None:
    carried(nine, OTHER)
    borrowed = OTHER + "# and more\n"
    nine.approved(borrowed)
    assert "no motion names this text" in refused(nine, borrowed)


def test_a_motion_that_was_lost_or_is_open_carries_nothing_whatever_its_row_says(nine: Nine) -> None:
    motion = nine.move(OTHER)
    nine.approved(OTHER)
    assert f"{motion} is not closed" in refused(nine, OTHER)
    nine.answer(motion, "for", *SIX[:2])
    nine.answer(motion, "against", *MEMBERS[2:6])
    assert nine.sql("UPDATE governance_motion SET closed_at = 1, outcome = 'carried'") == 1
    assert f"{motion} is not closed" in refused(nine, OTHER)
    nine.sql("UPDATE governance_motion SET closed_at = NULL, outcome = NULL")
    assert nine.close(motion).outcome == "lost"
    assert f"{motion} was lost" in refused(nine, OTHER)


def test_a_motion_in_words_carries_no_text(nine: Nine) -> None:
    motion = nine.open(policy.digest_of(OTHER), cls="charter_change").motion.id
    nine.answer(motion, "for", *MEMBERS)
    assert nine.close(motion).outcome == "carried"
    nine.approved(OTHER)
    assert "is not about publishing this text" in refused(nine, OTHER)


def test_a_motion_of_an_earlier_policy_carries_nothing(nine: Nine) -> None:
    carried(nine, OTHER)
    words = text() + "# Words that decide nothing.\n"
    nine.approved(words)
    nine.publish(words)
    nine.approved(OTHER)
    assert "opened under another policy" in refused(nine, OTHER)


def test_ballots_are_counted_again_when_the_text_is_published(nine: Nine) -> None:
    motion = carried(nine, OTHER)
    nine.approved(OTHER)
    nine.freeze(SIX[5])
    why = refused(nine, OTHER)
    assert f"of {motion}, counted again now, it has 5 of 6 votes" in why


def test_members_sign_what_the_server_says_that_the_text_changes(nine: Nine) -> None:
    view = nine.motion(nine.move(gone(PACKED)))
    said = "\n".join(view.motion.changes)
    assert "removed seat of 'm4' of the committee" in said
    assert "a motion of the class lift_hold took 5 of 9 seats present" in said and "it takes 2 of 2 seats" in said
    assert view.motion.statement()["act"] == "publish"
    gil = nine.person("gil")
    for cls, subject in (("ordinary", policy.digest_of(OTHER)), ("charter_change", "sha256:" + "0" * 64)):
        with pytest.raises(Invalid) as refusal, begin(nine.system, gil) as unit:
            api.open_motion(unit, gil, cls, subject, "New seats.", policy_text=OTHER)
        assert refusal.value.code == "governance.bad_motion"


def test_what_decides_nothing_needs_no_motion(nine: Nine) -> None:
    words = text().replace("name: Ada (researcher)", "name: Ada Researcher")
    nine.approved(words)
    assert nine.publish(words).version == 2
    assert nine.facts("access.PolicyPublished")[-1]["motion"] == ""


def test_a_motion_that_an_earlier_release_stored_is_read_and_digested_as_it_was() -> None:
    kept = {
        "id": "mot_1", "cls": "lift_hold", "subject": "hld_1", "text": "Lift it.", "opened_by": "gil", "opened_at": 1,
        "charter": "sha256:c",
    }  # fmt: skip
    read = msgspec.convert(kept, Motion)
    assert read.statement() == {"type": "weighthouse/motion/1", "act": "lift", "hold": "hld_1", **kept}
