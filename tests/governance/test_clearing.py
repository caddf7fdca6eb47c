"""Clearing a release: never green by absence. What nobody tried on this very system, lately, clears nothing."""

from __future__ import annotations

import msgspec
import pytest

from tests.governance.conftest import Committee
from tests.weights.world import LAB
from weighthouse.assurance import api as assurance
from weighthouse.assurance.api.versions import version_of
from weighthouse.assurance.events import AttackRun
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, HOUR
from weighthouse.core.errors import Conflict, NotFound, WeighthouseError
from weighthouse.core.work import begin
from weighthouse.detect import api as detect
from weighthouse.governance import api
from weighthouse.policy import api as policy

TERN = "model/tern"
UNTESTED = "governance.release_not_tested"


def ran(committee: Committee, *, but: dict[str, str] | None = None) -> None:
    """A night's run on this very system: every attack is held, `but` for those named."""
    with begin(committee.system) as unit:
        on = msgspec.structs.asdict(version_of(unit))
        for one in assurance.catalogue():
            audit.append(
                unit,
                AttackRun(
                    scenario=one.id, title=one.title, techniques=(), expected=one.expected.status, room="", rule="",
                    status=(but or {}).get(one.id, one.expected.status), reason="", evidence=None, on="copy", **on,
                ),
            )  # fmt: skip


def voted(committee: Committee, *members: str) -> str:
    motion = committee.open(TERN, cls="release_clear").motion.id
    for member in members or ("gil", "hana", "ivo"):
        committee.cast(member, motion)
    return motion


def refused(committee: Committee, motion: str) -> tuple[str, str]:
    with pytest.raises(WeighthouseError) as refusal:
        committee.close(motion)
    assert committee.facts("governance.MotionClosed") == []
    return refusal.value.code, refusal.value.message


def test_a_release_is_cleared_by_votes_and_by_attacks_that_were_held_here(committee: Committee) -> None:
    ran(committee)
    motion = voted(committee)
    view = committee.motion(motion)
    assert (view.unproven, view.tally.carried, view.closable) == ("", True, True)
    assert committee.close(motion).outcome == "carried"
    (line,) = committee.facts("governance.MotionClosed")
    assert line["outcome"] == "carried"


def test_no_attack_ever_run_clears_nothing_and_says_so(committee: Committee) -> None:
    motion = voted(committee)
    view = committee.motion(motion)
    assert (view.tally.carried, view.closable) == (False, False)
    assert "attacks not tested: self-approval (never run)" in view.unproven
    code, message = refused(committee, motion)
    assert (code, "self-approval (never run)" in message) == (UNTESTED, True)


def test_results_that_are_too_old_clear_nothing_until_they_are_had_again(committee: Committee) -> None:
    ran(committee)
    committee.clock.advance(2 * DAY + HOUR)
    motion = voted(committee)
    code, message = refused(committee, motion)
    assert (code, "(not run lately)" in message) == (UNTESTED, True)
    ran(committee)
    assert committee.close(motion).outcome == "carried"


@pytest.mark.parametrize("part", ["PROGRAM", "CATALOGUE"])
def test_results_of_another_build_clear_nothing(
    committee: Committee, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    ran(committee)
    monkeypatch.setattr(f"weighthouse.assurance.api.versions.{part}", "sha256:other")
    assert refused(committee, voted(committee))[0] == UNTESTED


def test_results_under_another_policy_clear_nothing(committee: Committee) -> None:
    ran(committee)
    with begin(committee.system) as unit:
        policy.store(unit, LAB.read_text("utf-8") + "# another text\n", "lab.yaml")
    code, message = refused(committee, voted(committee))
    assert (code, "(not run under this policy)" in message) == (UNTESTED, True)


def test_one_attack_that_could_not_be_run_clears_nothing(committee: Committee) -> None:
    ran(committee)
    ran(committee, but={"slow-drip": "NOT RUN"})
    code, message = refused(committee, voted(committee))
    assert (code, "1 attacks not tested: slow-drip (could not be run the last time)" in message) == (UNTESTED, True)


def test_a_missed_attack_loses_the_motion_though_it_could_not_be_run_since(committee: Committee) -> None:
    ran(committee, but={"slow-drip": "MISSED"})
    for _ in range(9):
        ran(committee, but={"slow-drip": "NOT RUN"})
    motion = voted(committee)
    assert "1 attacks missed: slow-drip" in committee.motion(motion).unproven
    assert committee.close(motion).outcome == "lost"


def test_a_motion_that_the_votes_lose_is_closed_whatever_was_tested(committee: Committee) -> None:
    motion = committee.open(TERN, cls="release_clear").motion.id
    for member in ("gil", "hana", "ivo"):
        committee.cast(member, motion, "against")
    assert committee.close(motion).outcome == "lost"


def test_nobody_clears_what_is_no_model_of_the_lab(committee: Committee) -> None:
    for subject in ("model/none", "dataset/public", "the release"):
        with pytest.raises(NotFound) as refusal:
            committee.open(subject, cls="release_clear")
        assert refusal.value.code == "governance.no_such_model"
    assert committee.facts("governance.MotionOpened") == []


def test_the_ballot_of_a_frozen_chair_clears_nothing(committee: Committee) -> None:
    ran(committee)
    motion = voted(committee, "gil", "hana")
    assert committee.motion(motion).tally.carried
    chi = committee.person("chi")
    with begin(committee.system, chi) as unit:
        detect.freeze(unit, chi, "gil", "A laptop was stolen.")
    view = committee.motion(motion)
    assert (view.tally.present, view.tally.carried, view.closable) == (1, False, False)
    hana = committee.person("hana")
    with pytest.raises(Conflict) as refusal, begin(committee.system, hana) as unit:
        api.close(unit, hana, motion)
    assert refusal.value.code == "governance.no_quorum"
