"""What one may not know of does not exist, who can reach a thing is told to those who answer for it, and a list is whole."""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.access import api
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.errors import Conflict, Denied, NotFound, WeighthouseError
from weighthouse.core.work import begin, read

EVERYONE = "    eligible: everyone\n    standing: true"
PINS = ({"version": "ver_1", "destination": "vault-b"}, {"version": "ver_2", "destination": "vault-b"})


def only_training_sees(lab: Lab) -> None:
    """The catalogue is no longer for everyone."""
    lab.change(EVERYONE, EVERYONE.replace("everyone", "[training]"))


def denials(lab: Lab) -> list[str]:
    return [str(entry.data["code"]) for entry in lab.log("access.Denied")]


def test_a_hidden_resource_answers_as_one_that_is_not_there(lab: Lab) -> None:
    only_training_sees(lab)
    lab.grant("ada")
    assert lab.code("fay") == "access.no_grant", "who audits the lab knows of everything"
    for action in ("weights.load", "catalogue.read", "hold.place"):
        hidden, absent = lab.explain("kim", action, "model/tern"), lab.explain("kim", action, "model/none")
        assert hidden.reasons == absent.reasons and hidden.remedy == absent.remedy and hidden.missing == ()
    with pytest.raises(NotFound) as error:
        lab.require("kim")
    assert refused(error) == "access.no_such_resource" and denials(lab) == ["access.no_such_resource"]
    with begin(lab.system) as unit:
        api.place_hold(unit, SYSTEM, "model/tern", "odd reads")
    assert lab.code("kim") == "access.no_such_resource", "a hold does not give it away either"
    assert lab.code("ada") == "access.held"


def test_access_case_58_asking_for_what_is_hidden_tells_nothing_about_it(lab: Lab) -> None:
    only_training_sees(lab)
    told = []
    for resource, entitlement in (("model/tern", "tern-train"), ("model/none", "tern-train"), ("model/tern", "none")):
        with pytest.raises(NotFound) as error:
            lab.ask("kim", entitlement, resource)
        told.append((error.value.code, error.value.message, error.value.remedy))
    assert len(set(told)) == 1 and told[0][0] == "access.no_such_entitlement"
    for call in (api.advise, api.who_has):
        with read(lab.system) as unit, pytest.raises(NotFound) as error:
            call(unit, lab.caller("kim"), "model/tern")
        assert refused(error) == "access.no_such_resource"
    with read(lab.system) as unit:
        assert api.search(unit, lab.caller("kim"), "tern") == []


def test_who_has_access_is_told_to_those_who_answer_for_it_and_whole(lab: Lab) -> None:
    grant = lab.grant("ada")
    for person in ("ben", "chi", "gil", "fay"):  # owns it and approves, guards it, approves exports, audits
        with read(lab.system) as unit:
            assert grant.id in {one.grant for one in api.who_has(unit, lab.caller(person), "model/tern")}
    before = len(denials(lab))
    for person in ("ada", "eve", "dee", "kim"):
        with pytest.raises(Denied) as error, read(lab.system) as unit:
            api.who_has(unit, lab.caller(person), "model/tern")
        assert refused(error) == "access.not_yours_to_see" and "weights-stewards" in error.value.remedy
    assert denials(lab)[before:] == ["access.not_yours_to_see"] * 4


def test_holds_on_people_are_shown_to_them_and_to_those_who_guard_the_lab(lab: Lab) -> None:
    with begin(lab.system) as unit:
        for subject in ("eve", "model/tern", "lab"):
            api.place_hold(unit, SYSTEM, subject, "odd reads")
    shown = {}
    for person in ("eve", "ada", "chi", "fay"):
        with read(lab.system) as unit:
            shown[person] = {hold.subject for hold in api.list_holds(unit, lab.caller(person))}
    assert shown["eve"] == shown["chi"] == shown["fay"] == {"eve", "model/tern", "lab"}
    assert shown["ada"] == {"model/tern", "lab"}


def test_what_a_policy_would_change_is_for_those_who_decide_on_policy(lab: Lab) -> None:
    new = lab.text.replace("  name: Example Lab", "  name: Another Lab")
    for person in ("dee", "chi", "gil", "fay"):
        with read(lab.system) as unit:
            assert api.plan_policy(unit, lab.caller(person), new, "lab.yaml")[1].name == "Another Lab"
    for person in ("ada", "kim"):
        with pytest.raises(Denied) as error, read(lab.system) as unit:
            api.plan_policy(unit, lab.caller(person), "schema: weighthouse/lab/1", "lab.yaml")
        assert refused(error) == "access.not_yours_to_see", "the differences would tell the whole lab"


def test_of_several_grants_the_one_for_this_operation_decides(lab: Lab) -> None:
    """The one that ended last was taken, so that a second approved export made the first impossible."""
    for pinned, minutes in zip(PINS, (30, 60), strict=True):
        request = lab.ask("ada", "tern-export", duration=minutes * MINUTE, operation=pinned)
        for person in ("ben", "chi", "gil"):
            lab.vote(person, request.id)
        lab.clock.advance(MINUTE)
    one, other = (lab.explain("ada", "weights.export", **pinned) for pinned in PINS)
    assert one.allowed and other.allowed and one.grant != other.grant
    assert lab.code("ada", "weights.export", version="ver_3", destination="vault-b") == "access.operation_differs"
    lab.clock.advance(30 * MINUTE)
    assert lab.code("ada", "weights.export", **PINS[0]) == "access.operation_differs"
    assert lab.code("ada", "weights.export", **PINS[1]) == "access.allowed"


def test_a_number_is_not_a_flag_in_an_operation(lab: Lab) -> None:
    text = "    operation: [version, destination]"
    lab.change(text, "    operation: [count]")
    request = lab.ask("ada", "tern-export", duration=HOUR, operation={"count": 1})
    for person in ("ben", "chi", "gil"):
        lab.vote(person, request.id)
    assert lab.code("ada", "weights.export", count=1) == "access.allowed"
    for other in (True, "1", 2):
        assert lab.code("ada", "weights.export", count=other) == "access.operation_differs"


def test_nobody_buries_the_requests_of_others(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from weighthouse.access.api import cards

    monkeypatch.setattr(cards, "_PAGE", 3)
    for number in range(20):
        pinned = {"version": f"ver_{number}", "destination": "vault-b"}
        lab.ask("eve", "tern-export", duration=HOUR, operation=pinned)
    with pytest.raises(Conflict) as error:
        lab.ask("eve", "tern-export", duration=HOUR, operation={"version": "ver_x", "destination": "vault-b"})
    assert refused(error) == "access.too_many_open"
    request = lab.ask("ada")
    with read(lab.system) as unit:
        shown = [card.request.id for card in api.inbox(unit, lab.caller("ben"))]
    assert len(shown) == len(set(shown)) == 21 and shown[-1] == request.id


def test_access_case_10_no_grant_makes_an_approver(lab: Lab) -> None:
    """The right to approve comes from the signed text alone: whoever holds every grant there is approves nothing."""
    lab.grant("eve")
    request = lab.ask("ada")
    for voter in ("eve", "dee", "kim"):
        with pytest.raises(WeighthouseError) as error:
            lab.vote(voter, request.id)
        assert refused(error) == "access.no_such_request"


def test_access_case_43_the_time_to_decide_is_not_the_time_of_access(lab: Lab) -> None:
    request = lab.ask("ada", duration=2 * HOUR)
    lab.clock.advance(23 * HOUR)
    lab.vote("ben", request.id)
    lab.vote("chi", request.id)
    grant = lab.grants("ada")[0]
    assert (grant.not_before, grant.end) == (lab.clock.now(), lab.clock.now() + 2 * HOUR)
    lab.clock.advance(90 * MINUTE)
    assert lab.code("ada") == "access.allowed", "the request would have lapsed by now; the grant runs"
