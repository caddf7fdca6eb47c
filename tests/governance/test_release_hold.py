"""A hold binds: export is refused whatever grants exist, and nobody but a quorate vote lifts it."""

from __future__ import annotations

import pytest

from tests.governance.conftest import Committee
from tests.weights.world import TERN
from weighthouse.access import api as access
from weighthouse.access.ports import Refusals
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.errors import Conflict, Denied, NotFound, Unauthenticated, Unavailable, WeighthouseError
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.weights import api as weights

DESTINATION = "x25519:" + "09" + "00" * 31


def export_of(committee: Committee) -> tuple[str, weights.Version]:
    """A sealed version of Tern, and Eve's own grant to export exactly it."""
    trainer = committee.grant("ada", "tern-train")
    assert trainer is not None
    version = committee.save(committee.run("ada", grant=trainer.id))
    granted = committee.grant("eve", "tern-export", operation={"version": version.id, "destination": DESTINATION})
    assert granted is not None
    return granted.id, version


def export(committee: Committee, version: str) -> weights.Export:
    eve = committee.person("eve")
    with begin(committee.system, eve) as unit:
        return weights.export(unit, eve, version, DESTINATION)


def test_a_hold_refuses_export_in_spite_of_a_grant_and_a_quorate_vote_opens_it_again(committee: Committee) -> None:
    _, version = export_of(committee)
    status = committee.hold("gil")
    assert status.held
    with pytest.raises(Denied) as refusal:
        export(committee, version.id)
    assert refusal.value.code == "access.held"
    assert len([one for one in committee.facts("access.Denied") if one["code"] == "access.held"]) == 1
    motion = committee.open(str(status.hold)).motion.id
    committee.cast("gil", motion)
    committee.cast("ivo", motion)
    assert committee.close(motion).outcome == "carried"
    assert not committee.status().held
    assert export(committee, version.id).version == version.id
    assert len(committee.facts("governance.HoldLifted")) == 1


def test_two_members_hold_together_and_one_alone_does_not(committee: Committee) -> None:
    waiting = committee.hold("hana")
    assert not waiting.held
    assert waiting.called_by == ("hana",)
    with pytest.raises(Conflict) as refusal:
        committee.hold("hana")
    assert refusal.value.code == "governance.already_called"
    assert not committee.status().held
    bound = committee.hold("ivo")
    assert bound.held
    assert bound.called_by == ("hana", "ivo")
    assert [len(committee.facts("governance." + kind)) for kind in ("HoldCalled", "HoldPlaced")] == [1, 1]


def test_a_call_of_last_week_does_not_count(committee: Committee) -> None:
    committee.hold("hana")
    committee.clock.advance(8 * DAY)
    assert not committee.hold("ivo").held


def test_a_call_that_was_deleted_from_the_database_still_counts(committee: Committee) -> None:
    committee.hold("hana")
    assert committee.sql("DELETE FROM governance_call") == 1
    assert committee.status().called_by == ("hana",)
    assert committee.hold("ivo").held


def test_a_call_that_led_to_a_hold_is_spent_once_the_hold_is_lifted(committee: Committee) -> None:
    committee.hold("hana")
    motion = committee.open(str(committee.hold("ivo").hold)).motion.id
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    committee.close(motion)
    committee.clock.advance(MINUTE)
    assert committee.status().called_by == ()
    assert not committee.hold("hana").held


def test_a_ratification_and_callers_written_into_the_database_are_not_shown(committee: Committee) -> None:
    status = committee.hold("gil")
    motion = committee.open(str(status.hold), cls="hold").motion.id
    assert committee.sql("UPDATE governance_motion SET closed_at = 1, outcome = 'carried'") == 1
    committee.sql("UPDATE governance_release SET called_by = 'dee', ratify_by = 1")
    assert motion and not committee.status().ratified
    assert (committee.status().called_by, committee.status().ratify_by) == (("gil",), status.ratify_by)


def test_a_release_is_held_once(committee: Committee) -> None:
    committee.hold("gil")
    with pytest.raises(Conflict) as refusal:
        committee.hold("hana")
    assert refusal.value.code == "governance.already_held"


@pytest.mark.parametrize("who", ["dee", "chi", "ada", "fay"])
def test_nobody_outside_the_committee_holds_a_release(committee: Committee, who: str) -> None:
    with pytest.raises(Denied):
        committee.hold(who)
    assert not committee.status().held


def test_a_member_needs_a_fresh_second_factor(committee: Committee) -> None:
    stale = committee.person("gil")
    committee.clock.advance(16 * MINUTE)
    with pytest.raises(Unauthenticated) as refusal, begin(committee.system, stale) as unit:
        api.place_release_hold(unit, stale, TERN, "The evaluation is not finished.")
    assert refusal.value.code == "governance.step_up_needed"


@pytest.mark.parametrize("model", ["dataset/stdlib", "lab"])
def test_only_models_have_releases(committee: Committee, model: str) -> None:
    with pytest.raises(NotFound) as refusal:
        committee.hold("gil", model)
    assert refusal.value.code == "governance.no_such_model"


@pytest.mark.parametrize("who", ["dee", "chi", "gil"])
def test_no_administrator_and_no_chair_lifts_a_hold_alone(committee: Committee, who: str) -> None:
    hold = str(committee.hold("gil").hold)
    caller = committee.person(who)
    with pytest.raises(Denied) as refusal, begin(committee.system, caller) as unit:
        access.lift_hold(unit, caller, hold, "It has to go out today.")
    assert refusal.value.code == "access.hold_needs_committee"
    assert committee.status().held


@pytest.mark.parametrize(
    "attack",
    [
        "DELETE FROM access_hold",
        "UPDATE access_hold SET lifted = 1",
        "UPDATE access_hold SET kind = 'security'",
        "UPDATE access_hold SET subject = 'model/wren'",
        "DELETE FROM governance_release",
    ],
)
def test_a_database_administrator_cannot_lift_a_hold(committee: Committee, attack: str) -> None:
    _, version = export_of(committee)
    committee.hold("gil")
    assert committee.sql(attack) == 1
    with pytest.raises(Denied) as refusal:
        export(committee, version.id)
    assert refusal.value.code == "access.held"
    assert committee.status().held
    chi, hold = committee.person("chi"), str(committee.status().hold)
    with pytest.raises(WeighthouseError) as kept, begin(committee.system, chi) as unit:
        access.lift_hold(unit, chi, hold, "It says security now.")
    assert kept.value.code == "access.hold_needs_committee"


def test_an_unratified_hold_stays_and_is_shown_as_due(committee: Committee) -> None:
    status = committee.hold("gil")
    committee.clock.advance(15 * DAY)
    late = committee.status()
    assert late.held
    assert not late.ratified
    assert late.ratify_by is not None and late.ratify_by < committee.clock.now()
    motion = committee.open(str(status.hold), cls="hold").motion.id
    committee.cast("gil", motion)
    committee.cast("hana", motion)
    committee.close(motion)
    assert committee.status().ratified
    assert committee.status().held


def test_a_call_that_somebody_wrote_into_the_database_is_nobodys(committee: Committee) -> None:
    committee.hold("hana")
    made_up = (
        "INSERT INTO governance_call (model, member, at, reason, seal) "
        "SELECT model, 'ivo', at, reason, {} FROM governance_call"
    )
    for seal in ("NULL", "seal"):
        committee.sql("DELETE FROM governance_call WHERE member = 'ivo'")
        committee.sql(made_up.format(seal))
        assert committee.status().called_by == ("hana",)
    committee.hold("gil")
    (placed,) = committee.facts("governance.HoldPlaced")
    assert placed["called_by"] == ["gil", "hana"]


def test_the_chair_holds_while_this_server_decides_nothing_else(committee: Committee) -> None:
    """Attack: stall the log until no server decides, so that the chair's no is refused as well, and forgotten."""
    refusals = committee.system.part(Refusals)
    refusals.doubt_after(-1)
    assert committee.hold("gil").held
    with pytest.raises(Unavailable) as error:
        refusals.holds()
    assert error.value.code == "access.refusals_behind", "nothing else is answered meanwhile"
    refusals.doubt_after(60)
    assert [(one.kind, one.subject) for one in refusals.holds()] == [("governance", TERN)]
