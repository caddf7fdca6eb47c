"""A second server knows what the first one began: hiding a row there hides nothing from it.

Both serve one database, each with a memory of its own; what one gives, the other learns from the log.
"""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.access import api, jobs
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.model import grant_of
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.core.work import begin


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
