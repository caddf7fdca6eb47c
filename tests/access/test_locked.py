"""Attack (PostgreSQL): lock tables, so that whoever says no meets a database that does not take it, while yes goes on.

A no is kept outside the database before any row is asked to change; its line follows once the locks are gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from tests.access.support import Lab, refused
from tests.access.test_owing import paid, settle
from weighthouse.access import api, jobs
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.api import owing
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.answers import once
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.ids import new_id
from weighthouse.core.work import Unit, begin, read
from weighthouse.detect.api import people
from weighthouse.identity import api as identity
from weighthouse.identity.api import owing as identity_owing
from weighthouse.identity.api.states import state_of

TABLES = "access_grant, access_hold, access_request, identity_principal, core_answer"


@pytest.fixture
def lab(postgres_url: str, clock: object, tmp_path: object) -> Iterator[Lab]:
    database = Database(postgres_url)
    database.create_all()
    yield Lab(database, clock, tmp_path)  # type: ignore[arg-type]
    database.close()


@contextlib.contextmanager
def locked(lab: Lab, mode: str) -> Iterator[None]:
    with lab.system.database.engine.connect() as connection:
        connection.execute(text(f"LOCK TABLE {TABLES} IN {mode} MODE"))
        yield


def fails(lab: Lab, person: str, act: Callable[[Unit], object]) -> str:
    with pytest.raises(Unavailable) as error, begin(lab.system, lab.caller(person)) as unit:
        unit.conn.execute(text("SET LOCAL lock_timeout = '200ms'"))
        act(unit)
    assert refused(error) == "core.database_unavailable"
    return error.value.message


@pytest.mark.parametrize("mode", ["SHARE", "EXCLUSIVE"])
def test_what_is_stopped_while_its_table_is_locked_is_stopped(lab: Lab, mode: str) -> None:
    lab.device("ada")
    lab.clock.advance(3 * DAY)  # it counts from then on
    first, second = lab.grant("eve"), lab.grant("ada")
    chi = lab.caller("chi")
    with locked(lab, mode):
        told = fails(
            lab,
            "chi",
            lambda unit: once(
                unit,
                "k" * 20,
                "f",
                lambda: api.revoke(unit, chi, first.id, "It was stolen."),
                keeps=api.Grant,
                stops=True,
            ),
        )
        assert told.endswith(owing.STANDS)
        assert lab.code("eve") == "access.grant_ended"
        fails(lab, "chi", lambda unit: api.place_hold(unit, chi, "model/tern", "Something is wrong."))
        assert lab.code("ada") == "access.held"
        fails(lab, "chi", lambda unit: identity.freeze(unit, "ada", "She leaves with the weights.", chi))
        with read(lab.system) as unit:
            assert identity.person(unit, "ada").frozen and identity.person(unit, "chi").frozen is False
    assert (lab.code("eve"), lab.code("ada")) == ("access.held", "access.held")
    lab.clock.advance(2 * MINUTE)
    assert (paid(lab), paid(lab)) == (2, 0)
    assert [one.data["by"] for one in lab.log("access.GrantEnded")] == ["chi"]
    assert [one.data["by"] for one in lab.log("access.HoldPlaced")] == ["chi"]
    with begin(lab.system, chi) as unit:
        identity.freeze(unit, "ada", "She leaves with the weights.", chi)
    with begin(lab.system, chi) as unit:
        identity.thaw(unit, "ada", "All is well.", "operator")
    with read(lab.system) as unit:
        assert state_of(unit, "ada").suspended, "what failed and was said again has taken nothing else"
    assert second.person == "ada"


def test_a_no_is_told_to_others_though_its_row_and_all_personal_words_are_locked(lab: Lab) -> None:
    """Attack: a lock that stops no reader keeps the change away for ever, and another server goes on to say yes."""
    grant, chi = lab.grant("eve"), lab.caller("chi")
    with lab.system.database.engine.connect() as connection:
        connection.execute(text("LOCK TABLE access_grant, log_personal IN SHARE MODE"))
        fails(lab, "chi", lambda unit: api.revoke(unit, chi, grant.id, "It was stolen."))
        lab.clock.advance(2 * MINUTE)
        assert (paid(lab), paid(lab)) == (1, 0)
        twin = FileRefusals(lab.folder / "twin.refusals")
        lab.system.bind(Refusals, twin)
        audit.learn(lab.system, 0, jobs.learners)
        assert twin.closed(grant.id)
    lab.bind_memories()
    assert paid(lab) == 0 and lab.sql("SELECT state FROM access_grant")[0]["state"] == "ended"
    assert [one.data["text"] for one in lab.log("access.GrantEnded")] == [owing.FAILED]


def test_a_member_of_the_committee_is_stopped_though_the_pointer_of_the_policy_is_locked(lab: Lab) -> None:
    chi = lab.caller("chi")
    with lab.system.database.engine.connect() as connection:
        connection.execute(text("LOCK TABLE policy_pointer IN EXCLUSIVE MODE"))
        with begin(lab.system, chi) as unit:
            unit.conn.execute(text("SET LOCAL lock_timeout = '2s'"))
            people.freeze(unit, chi, "hana", "A thief has her session.")
            hold = api.place_hold(unit, chi, "hana", "A thief has her session.")
    assert [one.id for one in lab.system.part(Refusals).holds()] == [hold.id]
    with read(lab.system) as unit:
        assert identity.person(unit, "hana").frozen


def test_who_may_stop_stops_while_this_server_decides_nothing_else(lab: Lab) -> None:
    """Attack: stall the log until no server decides, so that the no is refused too, and let go of it then."""
    grant, chi = lab.grant("eve"), lab.caller("chi")
    refusals = lab.system.part(Refusals)
    refusals.doubt_after(-1)
    with pytest.raises(Unavailable) as error:
        lab.ask("eve", "wren-train", "model/wren")
    assert refused(error) == "access.refusals_behind"
    with begin(lab.system, chi) as unit:
        api.revoke(unit, chi, grant.id, "It was stolen.")
        api.place_hold(unit, chi, "model/tern", "Something is wrong.")
        people.freeze(unit, chi, "ada", "She leaves with the weights.")
    with pytest.raises(Unavailable) as error:
        refusals.holds()
    assert refused(error) == "access.refusals_behind", "nothing else is answered meanwhile"
    refusals.doubt_after(60)
    assert refusals.closed(grant.id) and [one.subject for one in refusals.holds()] == ["model/tern"]
    with read(lab.system) as unit:
        assert identity.person(unit, "ada").frozen


def test_the_end_of_a_session_is_told_to_others_though_its_row_is_locked(lab: Lab) -> None:
    chi, stolen = lab.caller("chi"), new_id("ses")
    with lab.system.database.engine.connect() as connection:
        connection.execute(text("LOCK TABLE identity_principal IN SHARE MODE"))
        fails(lab, "chi", lambda unit: identity.end_session(unit, stolen, "It was stolen.", chi, of="eve"))
        lab.clock.advance(2 * MINUTE)
        settle(lab)
        assert identity_owing.pay(lab.system) == 1
        settle(lab)
        assert identity_owing.pay(lab.system) == 0
        (line,) = lab.log("identity.SessionEnded")
        assert (line.data["session"], line.data["by"]) == (stolen, "chi")
    with read(lab.system) as unit:
        assert audit.condition(unit).problems == ()
