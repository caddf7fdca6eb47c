"""A second server knows what the first one began: hiding a row there hides nothing from it.

Both serve one database, each with a memory of its own; what one gives, the other learns from the log.
"""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.access import api, jobs
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.events import HoldLifted, PolicyPublished
from weighthouse.access.model import grant_of
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.policy import api as policy
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory


@pytest.fixture
def lab(any_lab: Lab) -> Lab:
    return any_lab


def other_server(lab: Lab) -> FileRefusals:
    """From now on the lab is the other server, which has learnt what the log tells."""
    memory = FileRefusals(lab.folder / "other.refusals")
    lab.system.bind(Refusals, memory)
    learn(lab)
    return memory


def learn(lab: Lab, place: int = 0) -> int:
    while audit.sequence(lab.system):
        pass
    while (after := audit.learn(lab.system, place, jobs.learners)) != place:
        place = after
    return place


def test_what_was_given_elsewhere_is_kept_apart_though_its_row_is_hidden(lab: Lab) -> None:
    lab.grant("eve")
    other_server(lab)
    lab.sql("DELETE FROM access_grant")
    with pytest.raises(Denied) as error:
        lab.ask("eve", "tern-export", operation={"version": "ver_x", "destination": "there"})
    assert refused(error) == "access.separation"


def test_what_was_given_elsewhere_counts_in_how_long_though_its_row_is_hidden(lab: Lab) -> None:
    memories = [FileRefusals(lab.folder / f"{name}.refusals") for name in ("one", "other")]
    places, code, turns = [0, 0], "", 0
    while not code and turns < 10:
        turn = turns % 2
        lab.system.bind(Refusals, memories[turn])
        places[turn] = learn(lab, places[turn])
        try:
            lab.grant("eve", entitlement="tern-load", duration=8 * HOUR)
        except WeighthouseError as refusal:
            code = refusal.code
        lab.sql("DELETE FROM access_grant")
        lab.clock.advance(8 * HOUR)
        turns += 1
    assert (code, turns) == ("access.renewal_cap", 7), "six times eight hours are two days"


def test_an_approved_request_is_used_up_at_every_server(lab: Lab) -> None:
    grant = lab.grant("eve", entitlement="tern-load")
    memory = other_server(lab)
    assert memory.closed(grant.request.id) and not memory.closed(grant.id)
    vote = dict(lab.sql("SELECT * FROM access_vote WHERE voter = 'chi'")[0])
    lab.sql("DELETE FROM access_grant")
    lab.sql("DELETE FROM access_vote WHERE voter = :voter", voter=vote["voter"])
    lab.sql("UPDATE access_request SET state = 'pending', settled = NULL")
    lab.clock.advance(HOUR)
    with pytest.raises(WeighthouseError) as error:
        lab.vote("chi", grant.request.id)
    assert refused(error) == "access.request_closed"


def test_an_end_learnt_is_the_end_and_repeating_changes_nothing(lab: Lab) -> None:
    grant = lab.grant("eve", entitlement="tern-load")
    lab.clock.advance(HOUR)
    with begin(lab.system) as unit:
        api.give_back(unit, lab.caller("eve"), grant.id)
    ended = lab.clock.now()
    memory = other_server(lab)
    for _ in range(2):
        known = memory.given(grant.id)
        assert known is not None and known.end == ended and memory.closed(grant.id)
        size = (lab.folder / "other.refusals").stat().st_size
        learn(lab)
        assert (lab.folder / "other.refusals").stat().st_size == size
    assert grant.id == grant_of(grant.request.id)


def test_a_server_that_was_behind_learns_and_answers_again(lab: Lab) -> None:
    memory = other_server(lab)
    lab.bind_memories()
    with begin(lab.system, lab.caller("chi")) as unit:
        api.place_hold(unit, lab.caller("chi"), "model/tern", "Something is wrong.")
    lab.ask("eve", "wren-train", "model/wren")
    lab.system.bind(Refusals, memory)
    memory.doubt_after(0)
    with pytest.raises(WeighthouseError) as error:
        memory.holds()
    assert refused(error) == "access.refusals_behind"
    learn(lab)
    memory.doubt_after(10)
    assert [hold.subject for hold in memory.holds()] == ["model/tern"]


def governance_hold(lab: Lab) -> api.Hold:
    with begin(lab.system, lab.caller("gil")) as unit:
        return api.place_hold(unit, lab.caller("gil"), "model/tern", "It has open criticals.", kind="governance")


def lift(lab: Lab, hold: str) -> None:
    signed = lab.opened("chi", "hold.lift", hold)
    with begin(lab.system, lab.caller("chi")) as unit:
        api.lift_hold(unit, lab.caller("chi"), hold, "I think this is fine.", signed=signed)


def test_a_hold_renamed_before_a_server_has_heard_of_it_is_not_lifted_there(lab: Lab) -> None:
    other_server(lab)
    lab.bind_memories()
    hold = governance_hold(lab)
    twin = FileRefusals(lab.folder / "other.refusals")
    lab.system.bind(Refusals, twin)
    lab.sql("UPDATE access_hold SET kind = 'security'")
    with pytest.raises(Denied) as error:
        lift(lab, hold.id)
    assert refused(error) == "access.hold_unproven"
    with read(lab.system) as unit:
        assert [one.id for one in api.holds(unit)] == [hold.id], "it stops all the same"
    learn(lab)
    assert [one.data["code"] for one in lab.log("access.Denied")] == ["access.hold_unproven"]
    with pytest.raises(Denied) as error:
        lift(lab, hold.id)
    assert refused(error) == "access.hold_needs_committee"


def test_a_hold_that_was_lifted_as_another_kind_stands_where_its_kind_is_known(lab: Lab) -> None:
    hold = governance_hold(lab)
    memory = other_server(lab)
    for kind, authority in (("security", ""), ("governance", ""), ("security", "sha256:x")):
        line = HoldLifted(hold=hold.id, held="model/tern", kind=kind, reason="why", by="chi", authority=authority)
        with begin(lab.system) as unit:
            audit.append(unit, line)
        learn(lab)
        assert [one.id for one in memory.holds()] == [hold.id]
    with begin(lab.system) as unit:
        line = HoldLifted(hold=hold.id, held="model/tern", kind="governance", reason="why", by="gil", authority="x")
        audit.append(unit, line)
    learn(lab)
    assert memory.holds() == ()


def test_a_policy_published_elsewhere_is_in_force_here_though_the_pointer_is_held_back(lab: Lab) -> None:
    lab.system.bind(PolicyMemory, FilePolicyMemory(lab.folder / "other.policy"))
    assert code_in_force(lab) == "1"
    lab.bind_memories()
    with begin(lab.system) as unit:
        before = policy.current(unit)
        after = policy.store(unit, lab.text.replace("name: Example Lab", "name: Renamed Lab"), "lab.yaml", "dee")
        line = PolicyPublished(
            digest=after.digest, version=2, previous=before.digest, by="dee", grant="", changes=("a name",)
        )
        audit.append(unit, line)
    lab.sql("UPDATE policy_pointer SET version = 1")
    lab.system.bind(PolicyMemory, FilePolicyMemory(lab.folder / "other.policy"))
    learn(lab)
    assert code_in_force(lab) == "policy.rolled_back"
    lab.sql("UPDATE policy_pointer SET version = 2")
    assert code_in_force(lab) == "2"


def code_in_force(lab: Lab) -> str:
    with read(lab.system) as unit:
        try:
            return str(policy.current(unit).version)
        except WeighthouseError as error:
            return error.code
