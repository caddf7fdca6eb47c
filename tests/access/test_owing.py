"""A no whose change could not be committed: it stands, whoever said it is told so, and its line follows, once.

The commits truly fail: SQLite meets a full disk, PostgreSQL ends the connection that commits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from tests.access.support import Lab, refused
from tests.full_disk import full_at
from weighthouse.access import api
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.api import owing
from weighthouse.access.events import RequestDenied
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import Unit, begin, read


@pytest.fixture
def lab(any_lab: Lab) -> Lab:
    return any_lab


@contextlib.contextmanager
def failing(lab: Lab, unit: Unit) -> Iterator[None]:
    """What this unit commits is not taken by the database; nothing before is in the way of it."""
    if lab.system.database.dialect == "postgresql":
        own = unit.conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        ended = text("SELECT pg_terminate_backend(:own)")
        unit.last_before_commit(lambda: _elsewhere(lab, ended, own))
        yield
        return
    stack = contextlib.ExitStack()
    unit.last_before_commit(lambda: stack.enter_context(full_at(4096)))
    unit.when_over(lambda _: stack.close())
    yield


def _elsewhere(lab: Lab, ended: object, own: int) -> None:
    with lab.system.database.engine.begin() as other:
        other.execute(ended, {"own": own})  # type: ignore[call-overload]


def fails(lab: Lab, person: str, act: Callable[[Unit], object]) -> str:
    """Do something as a person whose commit fails; return what they are told."""
    with pytest.raises(Unavailable) as error, begin(lab.system, lab.caller(person)) as unit:
        act(unit)
        with failing(lab, unit):
            pass
    assert refused(error) == "core.outcome_unknown"
    return error.value.message


def settle(lab: Lab) -> None:
    while audit.sequence(lab.system):
        pass


def paid(lab: Lab) -> int:
    settle(lab)
    done = owing.pay(lab.system)
    settle(lab)
    return done


def test_a_hold_whose_commit_failed_stands_and_is_said_and_its_line_follows_once(lab: Lab) -> None:
    lab.grant("eve")
    chi = lab.caller("chi")
    told = fails(lab, "chi", lambda unit: api.place_hold(unit, chi, "model/tern", "Something is wrong."))
    assert told.endswith(owing.STANDS)
    assert lab.code("eve") == "access.held" and lab.sql("SELECT * FROM access_hold") == []
    assert paid(lab) == 0, "a change may yet be on its way"
    lab.clock.advance(2 * MINUTE)
    lab.bind_memories()
    assert (paid(lab), paid(lab), paid(lab)) == (1, 0, 0)
    (line,) = lab.log("access.HoldPlaced")
    (row,) = lab.sql("SELECT * FROM access_hold")
    with read(lab.system) as unit:
        (hold,) = api.holds(unit)
    assert line.data["hold"] == row["id"] == hold.id and line.data["by"] == "chi"
    assert lab.system.part(Refusals).owed() == FileRefusals(lab.folder / "access.refusals").owed() == ()


def test_a_grant_whose_end_could_not_be_committed_is_over_and_its_line_follows_once(lab: Lab) -> None:
    grant = lab.grant("eve")
    chi = lab.caller("chi")
    told = fails(lab, "chi", lambda unit: api.revoke(unit, chi, grant.id, "It was stolen."))
    assert told.endswith(owing.STANDS)
    assert lab.code("eve") == "access.grant_ended" and lab.log("access.GrantEnded") == []
    lab.clock.advance(2 * MINUTE)
    assert (paid(lab), paid(lab)) == (1, 0)
    (line,) = lab.log("access.GrantEnded")
    assert (line.data["grant"], line.data["why"], line.data["by"]) == (grant.id, "revoked", "chi")
    with read(lab.system) as unit:
        assert audit.reveal(unit, line)["text"] == owing.FAILED, "a person's words are not kept outside the database"
    assert b"stolen" not in (lab.folder / "access.refusals").read_bytes()
    assert lab.sql("SELECT state FROM access_grant")[0]["state"] == "ended"


def test_a_request_whose_withdrawal_could_not_be_committed_is_over(lab: Lab) -> None:
    request, eve = lab.ask("eve"), lab.caller("eve")
    assert fails(lab, "eve", lambda unit: api.withdraw(unit, eve, request.id)).endswith(owing.STANDS)
    assert lab.log("access.RequestWithdrawn") == []
    lab.clock.advance(2 * MINUTE)
    assert (paid(lab), paid(lab)) == (1, 0)
    assert [one.data["request_id"] for one in lab.log("access.RequestWithdrawn")] == [request.id]
    assert lab.sql("SELECT state FROM access_request")[0]["state"] == "withdrawn"


def test_a_no_said_again_after_its_commit_failed_leaves_its_one_line(lab: Lab) -> None:
    grant, chi = lab.grant("eve"), lab.caller("chi")
    fails(lab, "chi", lambda unit: api.revoke(unit, chi, grant.id, "It was stolen."))
    with begin(lab.system, chi) as unit:
        assert api.revoke(unit, chi, grant.id, "It was stolen.").state == "ended"
    lab.clock.advance(2 * MINUTE)
    assert paid(lab) == 0
    assert len(lab.log("access.GrantEnded")) == 1


def test_a_grant_that_could_not_be_committed_was_never_given(lab: Lab) -> None:
    eve = lab.caller("eve")
    told = fails(
        lab,
        "eve",
        lambda unit: api.submit(
            unit, eve, entitlement="wren-train", resource="model/wren", duration=HOUR, reason="Continue the ablation."
        ),
    )
    assert "stands" not in told
    (known,) = lab.system.part(Refusals).held_apart("eve")
    assert known.end == known.start
    assert lab.system.part(Refusals).owed() == ()


def test_a_no_by_its_id_alone_owes_its_line_too(lab: Lab) -> None:
    grant, chi = lab.grant("eve"), lab.caller("chi")
    lab.sql("DELETE FROM access_grant")
    with pytest.raises(Exception) as error, begin(lab.system, chi) as unit:
        api.revoke(unit, chi, grant.id, "It was stolen.")
    assert error.value.code == "access.no_such_grant"  # type: ignore[attr-defined]
    assert [one.id for one in lab.system.part(Refusals).owed()] == [grant.id]
    lab.clock.advance(2 * MINUTE)
    assert paid(lab) == 0 and lab.system.part(Refusals).owed() == ()
    assert len(lab.log("access.GrantEnded")) == 1


def test_a_revocation_that_could_not_be_committed_is_told_though_the_grant_was_given_back_since(lab: Lab) -> None:
    """Attack: meet the revocation with a lock, then give back, so that the log never says who was revoked."""
    grant, chi, eve = lab.grant("eve"), lab.caller("chi"), lab.caller("eve")
    fails(lab, "chi", lambda unit: api.revoke(unit, chi, grant.id, "Eve copies the weights."))
    with begin(lab.system, eve) as unit:
        assert api.give_back(unit, eve, grant.id).state == "ended"
    lab.clock.advance(2 * MINUTE)
    assert (paid(lab), paid(lab)) == (1, 0)
    told = [(one.data["why"], one.data["by"]) for one in lab.log("access.GrantEnded")]
    assert told == [("surrendered", "eve"), ("revoked", "chi")]
    assert lab.system.part(Refusals).owed() == ()


def test_a_denial_that_could_not_be_committed_is_told_though_the_request_was_withdrawn_since(lab: Lab) -> None:
    request, eve = lab.ask("eve"), lab.caller("eve")
    fails(lab, "eve", lambda unit: api.withdraw(unit, eve, request.id))
    with begin(lab.system) as unit:
        audit.append(unit, RequestDenied(request_id=request.id, by="chi"))
    lab.clock.advance(2 * MINUTE)
    assert (paid(lab), paid(lab)) == (1, 0)
    assert [one.subject for one in lab.log("access.RequestWithdrawn")] == [request.id]
