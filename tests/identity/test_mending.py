"""Attack: rows of before a freeze are put back, and then somebody tidies up. What was refused must stay refused.

Whatever touches the record of a person that cannot be believed (a timer, a response, a colleague's click) leaves it
frozen, with one line; only a person who may freeze and thaw people opens it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.identity.support import Lab
from tests.identity.test_sessions import code_of
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api.states import UNBELIEVED, change_state
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import ProblemError

TABLES = ("session", "principal", "workload")


def kept(lab: Lab) -> dict[str, list[Any]]:
    return {name: lab.sql(f"SELECT * FROM identity_{name}") for name in TABLES}


def put_back(lab: Lab, rows: dict[str, list[Any]]) -> None:
    """What a database administrator, or an honest restore of yesterday's backup, does."""
    for name, found in rows.items():
        lab.sql(f"DELETE FROM identity_{name}")
        for row in found:
            marks = ", ".join(":" + key for key in row._mapping)
            lab.sql(f"INSERT INTO identity_{name} ({', '.join(row._mapping)}) VALUES ({marks})", **row._mapping)


def tidy(lab: Lab, _session: str) -> None:
    api.tidy(lab.system)


def end_all(lab: Lab, _session: str) -> None:
    with begin(lab.system) as unit:
        api.end_sessions_of(unit, "eve", "detect:spray", "system")


def end_one(lab: Lab, session: str) -> None:
    with begin(lab.system) as unit:
        api.end_session(unit, session, "detect:spray", "system")


def nothing(_lab: Lab, _session: str) -> None:
    """The row stays as it was put back."""


TOUCHES: dict[str, Callable[[Lab, str], None]] = {
    "the timer tidies": tidy,
    "all sessions are ended": end_all,
    "one session is ended": end_one,
    "nobody touches it": nothing,
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_person_whose_rows_are_put_back_stays_frozen_whatever_touches_them(lab: Lab, touch: str) -> None:
    client = lab.sign_in("eve")
    session = client.get("me")["session"]
    before = kept(lab)
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", lab.person("chi"))
    put_back(lab, before)
    TOUCHES[touch](lab, session)
    for _ in range(2):
        with read(lab.system) as unit:
            assert api.person(unit, "eve").frozen and not api.is_active(unit, "eve")
        assert code_of(client) in ("identity.session_ended", "identity.record_refused")
        with pytest.raises(ProblemError) as refusal:
            lab.sign_in("eve", lab.client())
        assert refusal.value.code == "identity.not_admitted"
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))  # a restart
        api.tidy(lab.system)
    # Once by Chi, and once because the record that Chi froze could not be believed any more.
    assert lab.told("PersonFrozen", "reason") == ["odd reads", UNBELIEVED]
    assert lab.log("PersonFrozen")[-1].data["by"] == "system"


def test_only_thawing_opens_a_record_that_was_put_back_and_brings_nothing_back_with_it(lab: Lab) -> None:
    client = lab.sign_in("eve")
    before = kept(lab)
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", lab.person("chi"))
    put_back(lab, before)
    signed = lab.opened("chi", "person.thaw", "eve")
    with begin(lab.system) as unit:
        api.thaw(unit, "eve", "we restored a backup", lab.person("chi"), signed=signed)
    assert lab.told("PersonThawed", "by") == ["chi"]
    assert code_of(client) != ""
    assert code_of(lab.sign_in("eve", lab.client())) == ""
    put_back(lab, before)
    with read(lab.system) as unit:
        assert api.person(unit, "eve").frozen, "yesterday's row is not believed after the thaw either"


def test_freezing_over_a_refused_record_keeps_the_reason_and_the_name_of_who_froze(lab: Lab) -> None:
    client = lab.sign_in("eve")
    lab.sql("UPDATE identity_principal SET body = replace(body, '\"epoch\":0', '\"epoch\":9')")
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "rows were edited", lab.person("chi"))
    assert (lab.told("PersonFrozen", "reason"), lab.told("PersonFrozen", "by")) == (["rows were edited"], ["chi"])
    assert lab.told("SessionEnded", "reason") == ["frozen"]
    assert code_of(client) == "identity.session_ended"


def test_no_change_but_an_end_goes_through_a_refused_record(lab: Lab) -> None:
    lab.sign_in("eve")
    lab.sql("UPDATE identity_principal SET body = replace(body, '\"epoch\":0', '\"epoch\":9')")
    with pytest.raises(Unauthenticated), begin(lab.system) as unit:
        change_state(unit, "eve", lambda state: state)


def test_a_runs_identity_that_was_ended_by_hand_and_put_back_is_over(lab: Lab) -> None:
    with begin(lab.system) as unit:
        token = api.issue_workload(unit, run="run_1", attributes={}, expires=unit.now + 600_000)
    before = kept(lab)
    lab.sql("DELETE FROM identity_workload")  # hidden while the control plane ends it
    with begin(lab.system) as unit:
        api.end_workload(unit, "run_1")
    assert [entry.subject for entry in lab.log("WorkloadEnded")] == ["run_1"]
    put_back(lab, {"workload": before["workload"]})
    credential = api.Credential(kind="workload", value=token, proof="run_1", url="/workload/v1/loads")
    with pytest.raises(Unauthenticated) as refusal, begin(lab.system) as unit:
        api.authenticate(unit, credential)
    assert refusal.value.code == "identity.workload_ended"
    put_back(lab, {"principal": before["principal"]})
    api.tidy(lab.system)
    with begin(lab.system) as unit:
        api.end_workload(unit, "run_1")
    with pytest.raises(Unauthenticated), begin(lab.system) as unit:
        api.authenticate(unit, credential)


def test_what_went_on_in_a_session_ends_with_it_when_somebody_else_ended_it(lab: Lab) -> None:
    ends: dict[str, bool] = {}
    for name, expected in (("signed out", False), ("ended by security", True), ("hidden", True), ("put back", True)):
        client = lab.sign_in("eve", lab.client())
        session = client.get("me")["session"]
        before = kept(lab)
        if name == "signed out":
            client.sign_out()
        else:
            end_one(lab, session)
        if name == "hidden":
            lab.sql(f"DELETE FROM identity_session WHERE id = '{session}'")
        if name == "put back":
            put_back(lab, {"session": before["session"]})
        ends[session] = expected
    ends[new_id("ses")] = False
    with read(lab.system) as unit:
        assert {one: api.ended_by_another(unit, one, "eve") for one in ends} == ends
