"""A hold on a person stops them from everything that its text says, and a hold on a thing its granting too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.access.support import LAB, Lab, refused
from tests.access.test_cases_time import ballot
from weighthouse.access import api
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import Denied
from weighthouse.core.work import Unit, begin, read


def hold(lab: Lab, subject: str, actions: tuple[str, ...] = ()) -> api.Hold:
    with begin(lab.system) as unit:
        return api.place_hold(unit, SYSTEM, subject, "signs of a stolen session", actions=actions)


def lift(lab: Lab, found: api.Hold) -> None:
    signed = lab.opened("chi", "hold.lift", found.id)
    with begin(lab.system) as unit:
        api.lift_hold(unit, lab.caller("chi"), found.id, "it was a mistake", signed=signed)


CHANGED = LAB.read_text("utf-8") + "# a change\n"
ACTS: dict[str, Callable[[Unit, Caller], object]] = {
    "ask": lambda unit, caller: api.submit(
        unit, caller, entitlement="wren-train", resource="model/wren", duration=HOUR, reason="An honest experiment."
    ),
    "inbox": api.inbox,
    "search": lambda unit, caller: api.search(unit, caller, "tern"),
    "advise": lambda unit, caller: api.advise(unit, caller, "model/tern"),
    "who": lambda unit, caller: api.who_has(unit, caller, "model/tern"),
    "plan": lambda unit, caller: api.plan_policy(unit, caller, CHANGED, "lab.yaml"),
    "publish": lambda unit, caller: api.publish_policy(unit, caller, CHANGED, "lab.yaml"),
    "revoke": lambda unit, caller: api.revoke(unit, caller, "grt_" + "0" * 26, "why not"),
    "hold": lambda unit, caller: api.place_hold(unit, caller, "model/tern", "why not"),
}


def test_a_held_approver_does_not_approve(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("chi", request.id)
    stands = hold(lab, "ben")
    card, before = lab.card("chi", request.id), len(lab.log("access.Denied"))
    signature = lab.signed("ben", card, "approve", voter="ben")
    with pytest.raises(Denied) as error, begin(lab.system, lab.caller("ben")) as unit:
        api.vote(unit, lab.caller("ben"), request.id, "approve", digest=card.digest, signature=signature)
    assert refused(error) == "access.held"
    lines = lab.log("access.Denied")[before:]
    assert [(one.data["principal"], one.data["action"], one.data["code"]) for one in lines] == [
        ("ben", "request.vote", "access.held")
    ]
    assert lab.code("ada") == "access.no_grant"
    with read(lab.system) as unit:
        assert api.waiting(unit, lab.caller("ben")) == 0
    lift(lab, stands)
    assert lab.vote("ben", request.id).state == "approved"


def test_what_a_held_person_approved_before_counts_for_no_new_grant_until_the_hold_is_lifted(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    stands = hold(lab, "ben")
    assert lab.vote("chi", request.id).state == "pending"
    assert "access.voter_held" in " ".join(lab.card("chi", request.id).unusual)
    assert lab.code("ada") == "access.no_grant"
    lift(lab, stands)
    assert "access.voter_held" not in " ".join(lab.card("chi", request.id).unusual)


@pytest.mark.parametrize("act", ACTS)
def test_a_held_person_does_nothing_else_either(lab: Lab, act: str) -> None:
    for person in ("ada", "chi", "dee"):
        hold(lab, person)
        before = len(lab.log("access.Denied"))
        with pytest.raises(Denied) as error, begin(lab.system, lab.caller(person)) as unit:
            ACTS[act](unit, lab.caller(person))
        assert refused(error) == "access.held"
        assert [one.data["code"] for one in lab.log("access.Denied")[before:]] == ["access.held"]


def test_a_held_person_still_sees_gives_back_and_withdraws_what_is_theirs(lab: Lab) -> None:
    grant, request = lab.grant("ada"), lab.ask("ada", "weights-admin", reason="x" * 50)
    stands = hold(lab, "ada")
    assert lab.code("ada") == "access.held"
    assert lab.card("ada", request.id).request.id == request.id
    with begin(lab.system) as unit:
        assert api.list_holds(unit, lab.caller("ada"))[0].id == stands.id
        assert api.my_requests(unit, lab.caller("ada"))
        api.withdraw(unit, lab.caller("ada"), request.id)
        api.give_back(unit, lab.caller("ada"), grant.id)


def test_a_hold_that_names_actions_stops_these_and_nothing_else(lab: Lab) -> None:
    request = lab.ask("ada")
    hold(lab, "ben", ("weights.export",))
    lab.vote("ben", request.id)
    assert lab.vote("chi", request.id).state == "approved"


@pytest.mark.parametrize("subject", ["model/tern", "lab", "ada"])
def test_nothing_is_granted_that_a_hold_stops_whole(lab: Lab, subject: str) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    stands = hold(lab, subject)
    with pytest.raises(Denied) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "access.held"
    lift(lab, stands)
    assert lab.vote("chi", request.id).state == "approved"


def test_a_held_member_of_the_committee_lifts_nothing(lab: Lab) -> None:
    with begin(lab.system, lab.caller("gil")) as unit:
        placed = api.place_hold(unit, lab.caller("gil"), "model/tern", "not evaluated", kind="governance")
    motion = {"act": "lift", "hold": placed.id}
    authority = api.Authority(motion=motion, ballots=tuple(ballot(lab, one, motion) for one in ("gil", "hana")))
    stands = hold(lab, "hana")
    with pytest.raises(Denied) as error, begin(lab.system, lab.caller("dee")) as unit:
        api.lift_hold(unit, lab.caller("dee"), placed.id, "decided", authority=authority)
    assert refused(error) == "access.authority_refused"
    lift(lab, stands)
    with begin(lab.system, lab.caller("dee")) as unit:
        assert api.lift_hold(unit, lab.caller("dee"), placed.id, "decided", authority=authority).lifted
