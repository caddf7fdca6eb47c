"""The walk of the house plan: ask, two people sign, the grant starts, is used, and ends by itself."""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.access import api
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.core.work import begin


def test_two_people_approve_and_the_grant_works_until_it_ends(any_lab: Lab) -> None:
    lab = any_lab
    assert lab.code("ada") == "access.no_grant"
    request = lab.ask("ada")
    assert request.state == "pending"
    assert lab.vote("ben", request.id).state == "pending"
    assert lab.code("ada") == "access.no_grant"
    assert lab.vote("chi", request.id).state == "approved"
    decision = lab.require("ada")
    assert decision.allowed and decision.grant == lab.grants("ada")[0].id
    assert decision.until == lab.clock.now() + 2 * HOUR
    lab.clock.advance(2 * HOUR)
    assert lab.code("ada") == "access.grant_expired"


def test_each_step_leaves_exactly_one_line(lab: Lab) -> None:
    lab.grant()
    lab.require("ada")
    with pytest.raises(Denied):
        lab.require("eve")
    kinds = [entry.kind.removeprefix("access.") for entry in lab.log()]
    assert kinds == [
        "PolicyPublished", "RequestSubmitted", "VoteCast", "VoteCast", "RequestApproved", "GrantStarted", "Allowed",
        "Denied",
    ]  # fmt: skip


def test_explain_writes_nothing_and_its_truth_value_is_an_error(lab: Lab) -> None:
    before = len(lab.log(""))
    decision = lab.explain("eve")
    assert len(lab.log("")) == before
    with pytest.raises(TypeError):
        bool(decision)
    assert decision.missing == ("tern-load", "tern-train", "weights-admin")
    assert decision.remedy == "Ask for 'tern-load'."


def test_low_risk_needs_no_approver_and_starts_at_once(lab: Lab) -> None:
    request = lab.ask("ada", "wren-train", "model/wren", duration=8 * HOUR)
    assert request.state == "approved"
    assert lab.require("ada", "run.submit", "model/wren").allowed


def test_a_grant_is_given_back_and_stays_over(lab: Lab) -> None:
    grant = lab.grant()
    with begin(lab.system, lab.caller("ada")) as unit:
        api.give_back(unit, lab.caller("ada"), grant.id)
    assert lab.code("ada") == "access.grant_ended"
    with begin(lab.system) as unit, pytest.raises(WeighthouseError) as error:
        api.valid_grant(unit, grant.id)
    assert refused(error) == "access.grant_ended"


def test_security_revokes_and_nobody_else_does(lab: Lab) -> None:
    grant = lab.grant()
    with pytest.raises(Denied), begin(lab.system, lab.caller("eve")) as unit:
        api.revoke(unit, lab.caller("eve"), grant.id, "out of spite")
    assert lab.code("ada") == "access.allowed"
    with begin(lab.system, lab.caller("chi")) as unit:
        api.revoke(unit, lab.caller("chi"), grant.id, "laptop reported stolen")
    assert lab.code("ada") == "access.grant_ended"


def test_a_hold_beats_the_grant_and_lifting_it_opens_again(lab: Lab) -> None:
    lab.grant()
    with begin(lab.system, lab.caller("chi")) as unit:
        hold = api.place_hold(unit, lab.caller("chi"), "model/tern", "suspicious reads")
    assert lab.code("ada") == "access.held"
    signed = lab.opened("chi", "hold.lift", hold.id)
    with begin(lab.system, lab.caller("chi")) as unit:
        api.lift_hold(unit, lab.caller("chi"), hold.id, "explained", signed=signed)
    assert lab.code("ada") == "access.allowed"


def test_a_hold_on_the_lab_leaves_security_able_to_act(lab: Lab) -> None:
    lab.grant()
    with begin(lab.system, lab.caller("chi")) as unit:
        api.place_hold(unit, lab.caller("chi"), "lab", "unknown intruder")
    assert lab.code("ada") == "access.held"
    assert lab.code("chi", "session.end", "lab") == "access.allowed"
    assert lab.code("chi", "run.stop", "model/tern") == "access.allowed"


def test_a_workload_works_under_its_persons_grant_and_only_as_far(lab: Lab) -> None:
    grant = lab.grant()
    run = lab.workload("run_1", "ada", grant.id)
    assert lab.require(run).grant == grant.id
    assert lab.code(run, "run.submit") == "access.workload_action"
    assert lab.code(run, "weights.load", "model/wren") != "access.allowed"
    other = lab.workload("run_2", "ada", environment="research")
    assert lab.code(other) == "access.environment_mismatch"
    lab.clock.advance(2 * HOUR)
    assert lab.code(run) == "access.grant_expired"


def test_who_has_access_and_why(lab: Lab) -> None:
    grant = lab.grant()
    with begin(lab.system, lab.caller("fay")) as unit:
        found = api.who_has(unit, lab.caller("fay"), "model/tern")
    mine = [one for one in found if one.grant == grant.id]
    assert mine[0].principal == "ada" and "ben, chi" in mine[0].why
    assert {one.principal for one in found if one.via == "responding"} == {"chi"}
