"""Attack: let a row say "over" for one turn of the timer. A row that says so alone ends nothing, and is told once.

Cases 12 and 53 (access.md): whoever can write the database makes up rows, edits them, and puts them back.
"""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.access import api, jobs
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.errors import NotFound, WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin, read


def turns(lab: Lab, count: int = 3) -> None:
    """The timer, some times: on PostgreSQL a row is met again before it is judged."""
    for _ in range(count):
        settle(lab)
        jobs.run(lab.system)
        lab.clock.advance(MINUTE)
    settle(lab)


def settle(lab: Lab) -> None:
    while audit.sequence(lab.system):
        pass


def closed(lab: Lab, id_: str) -> bool:
    return lab.system.part(Refusals).closed(id_)


def told(lab: Lab, row: str) -> list[str]:
    return [one.data["code"] for one in lab.log("access.Denied") if one.subject == row]


def test_a_grant_whose_row_alone_says_that_it_ended_goes_on_and_is_told_once(any_lab: Lab) -> None:
    lab = any_lab
    grant = lab.grant("ada", duration=8 * HOUR)
    for _ in range(2):
        lab.sql(
            "UPDATE access_grant SET state = 'ended', ended = 1, ended_why = 'revoked' WHERE id = :id", id=grant.id
        )
        assert lab.code("ada") == "access.grant_ended"
        assert [(one.state, one.ended_why) for one in lab.grants("ada")] == [("active", "access.grant_row_differs")]
        turns(lab)
    assert not closed(lab, grant.id) and lab.code("ada") == "access.allowed"
    assert told(lab, grant.id) == ["access.grant_row_differs"]
    assert lab.log("access.GrantEnded") == []


def test_a_grant_whose_columns_say_that_its_time_is_over_goes_on_and_is_told_once(any_lab: Lab) -> None:
    lab = any_lab
    grant = lab.grant("ada", duration=8 * HOUR)
    lab.sql("UPDATE access_grant SET end_at = 1, resource = 'model/wren' WHERE id = :id", id=grant.id)
    turns(lab)
    assert lab.code("ada") == "access.allowed" and told(lab, grant.id) == ["access.grant_row_differs"]
    assert lab.log("access.GrantEnded") == []


@pytest.mark.parametrize("state", ["denied", "withdrawn", "approved", "invalidated"])
def test_a_request_whose_row_alone_says_that_it_is_settled_still_waits(any_lab: Lab, state: str) -> None:
    lab = any_lab
    request = lab.ask("ada")
    lab.sql(
        "UPDATE access_request SET state = :s, settled = 9, settled_why = 'eve' WHERE id = :id",
        s=state,
        id=request.id,
    )
    shown = lab.card("ben", request.id).request
    assert (shown.state, shown.settled_why) == ("pending", "")
    turns(lab)
    assert not closed(lab, request.id) and told(lab, request.id) == ["access.request_row_differs"]
    lab.vote("ben", request.id)
    lab.vote("chi", request.id)
    assert lab.code("ada") == "access.allowed"


def test_many_honest_ends_hide_no_row_that_says_so_alone(lab: Lab) -> None:
    for _ in range(4):
        request = lab.ask("eve")
        with begin(lab.system, lab.caller("eve")) as unit:
            api.withdraw(unit, lab.caller("eve"), request.id)
    request = lab.ask("ada")
    lab.sql("UPDATE access_request SET state = 'denied', settled = 1 WHERE id = :id", id=request.id)
    for _ in range(4):
        with begin(lab.system) as unit:
            api.tidy(unit, 2)
    assert lab.card("ben", request.id).can_vote and told(lab, request.id) == ["access.request_row_differs"]


def test_what_a_line_ended_is_closed_from_it_when_the_memory_was_lost(any_lab: Lab) -> None:
    lab = any_lab
    grant, denied = lab.grant("eve", duration=8 * HOUR), lab.ask("ada")
    lab.vote("ben", denied.id, "deny")
    with begin(lab.system, lab.caller("chi")) as unit:
        api.revoke(unit, lab.caller("chi"), grant.id, "Not needed any more.")
    (lab.folder / "access.refusals").unlink()
    lab.bind_memories()
    turns(lab)
    assert closed(lab, grant.id) and closed(lab, denied.id)
    assert told(lab, grant.id) == told(lab, denied.id) == []


def test_a_card_shows_what_the_log_tells_and_never_waits_for_what_is_closed(any_lab: Lab) -> None:
    lab = any_lab
    request = lab.ask("ada")
    lab.vote("ben", request.id, "deny")
    settle(lab)
    lab.sql(
        "UPDATE access_request SET state = 'pending', settled = NULL, settled_why = '' WHERE id = :id", id=request.id
    )
    shown = lab.card("ben", request.id)
    assert (shown.request.state, shown.request.settled_why, shown.can_vote) == ("denied", "ben", False)
    with read(lab.system) as unit:
        assert [one.state for one in api.my_requests(unit, lab.caller("ada"))] == ["denied"]
    other = lab.ask("eve")
    lab.system.part(Refusals).close([other.id])  # kept before a change that then failed
    assert lab.card("ben", other.id).request.state == "invalidated"


def test_an_ended_grant_is_shown_with_the_end_of_its_line(any_lab: Lab) -> None:
    lab = any_lab
    grant = lab.grant("ada", duration=8 * HOUR)
    with begin(lab.system, lab.caller("chi")) as unit:
        api.revoke(unit, lab.caller("chi"), grant.id, "Not needed any more.")
    settle(lab)
    lab.sql(
        "UPDATE access_grant SET ended_why = 'surrendered', ended_by = 'ada', ended = 1 WHERE id = :id", id=grant.id
    )
    (shown,) = lab.grants("ada")
    assert (shown.state, shown.ended_why, shown.ended_by) == ("ended", "revoked", "chi")


def test_an_id_that_nobody_has_seen_is_refused_without_a_line_and_remembered_by_nobody(any_lab: Lab) -> None:
    lab = any_lab
    lab.grant("ada")
    settle(lab)
    before, size = len(lab.log()), (lab.folder / "access.refusals").stat().st_size
    for _ in range(5):
        made_up = new_id("req")
        with pytest.raises(NotFound) as refusal, begin(lab.system, lab.caller("eve")) as unit:
            api.withdraw(unit, lab.caller("eve"), made_up)
        assert refused(refusal) == "access.no_such_request" and not closed(lab, made_up)
        assert deny(lab, "ben", made_up) == "access.no_such_request" and not closed(lab, made_up)
    settle(lab)
    assert len(lab.log()) == before and (lab.folder / "access.refusals").stat().st_size == size


def deny(lab: Lab, person: str, request: str) -> str:
    caller = lab.caller(person)
    signature = api.VoteSignature(kind="attested", at=lab.clock.now())
    with pytest.raises(WeighthouseError) as refusal, begin(lab.system, caller) as unit:
        api.vote(unit, caller, request, "deny", digest="", signature=signature)
    return refused(refusal)


def test_a_no_to_a_request_whose_row_is_hidden_counts_from_whom_it_concerns_alone(any_lab: Lab) -> None:
    lab = any_lab
    request, others = lab.ask("ada"), lab.ask("eve")
    settle(lab)
    lab.sql("UPDATE access_request SET seal = :seal", seal=b"no")
    for stranger in ("eve", "ben"):
        with pytest.raises(NotFound), begin(lab.system, lab.caller(stranger)) as unit:
            api.withdraw(unit, lab.caller(stranger), request.id)
        assert not closed(lab, request.id)
    assert deny(lab, "ada", request.id) == "access.no_such_request" and not closed(lab, request.id)
    for _ in range(3):
        with pytest.raises(NotFound), begin(lab.system, lab.caller("ada")) as unit:
            api.withdraw(unit, lab.caller("ada"), request.id)
        assert deny(lab, "ben", others.id) == "access.no_such_request"
    settle(lab)
    assert closed(lab, request.id) and closed(lab, others.id)
    assert len(lab.log("access.RequestWithdrawn")) == len(lab.log("access.RequestDenied")) == 1
