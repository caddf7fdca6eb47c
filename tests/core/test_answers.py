"""A change is made once for an idempotency key, and an answer that is nobody's to keep is never kept."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import msgspec
import pytest
from sqlalchemy import select

from weighthouse.core import store
from weighthouse.core.answers import once, once_told
from weighthouse.core.caller import SYSTEM
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, Denied, Invalid
from weighthouse.core.work import System, begin


@pytest.fixture
def any_system(make_system: Callable[[Database], System], any_database: Database) -> System:
    return make_system(any_database)


def test_an_idempotency_key_gives_the_first_answer_again(any_system: System) -> None:
    runs: list[int] = []

    def change() -> dict[str, int]:
        runs.append(1)
        return {"made": len(runs)}

    for _ in range(2):
        with begin(any_system, SYSTEM) as unit:
            assert once(unit, "a-key-of-a-client", "body", change, keeps=dict) == {"made": 1}
    assert runs == [1]


def test_data_case_6_and_9_two_twins_of_a_request_at_once_have_one_effect(any_system: System) -> None:
    gate = threading.Barrier(2)
    runs: list[int] = []
    answers: list[object] = []

    def ask() -> None:
        gate.wait()
        with begin(any_system, SYSTEM) as unit:
            answers.append(once(unit, "a-key-of-a-client", "body", lambda: {"made": runs.append(1) or 7}, keeps=dict))

    twins = [threading.Thread(target=ask) for _ in range(2)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join()
    assert (runs, answers) == ([1], [{"made": 7}, {"made": 7}])


def test_data_case_6_a_change_given_up_half_way_is_run_by_whoever_repeats_it(any_system: System) -> None:
    def refuse() -> int:
        raise Conflict("test.no", "No.", "None.")

    with begin(any_system, SYSTEM) as unit, contextlib.suppress(Conflict):
        once(unit, "a-key-of-a-client", "body", refuse, keeps=int)  # and the unit commits all the same
    with begin(any_system, SYSTEM) as unit:
        assert once(unit, "a-key-of-a-client", "body", lambda: 5, keeps=int) == 5
    with begin(any_system, SYSTEM) as unit:
        assert once(unit, "a-key-of-a-client", "body", lambda: 6, keeps=int) == 5


def test_data_case_6_one_key_with_another_body_is_refused(any_system: System) -> None:
    with begin(any_system, SYSTEM) as unit:
        once(unit, "a-key-of-a-client", "body", dict, keeps=dict)
    with pytest.raises(Conflict) as caught, begin(any_system, SYSTEM) as unit:
        once(unit, "a-key-of-a-client", "other body", dict, keeps=dict)
    assert caught.value.code == "core.idempotency_mismatch"
    with pytest.raises(Invalid), begin(any_system, SYSTEM) as unit:
        once(unit, "short", "body", dict, keeps=dict)


class Bundle(msgspec.Struct, frozen=True):
    id: str
    keys: str


class Named(msgspec.Struct, frozen=True):
    id: str


def tell(system: System, asked: list[str], *, refused: bool = False) -> object:
    def run() -> Bundle:
        asked.append("first")
        return Bundle("exp_1", "the keys of the first time")

    def again(kept: Named) -> Bundle:
        asked.append("again")
        if refused:
            raise Denied("test.held", "Held.", "None.")
        return Bundle(kept.id, "keys made anew")

    with begin(system, SYSTEM) as unit:
        return once_told(unit, "a-key-of-a-client", "body", run, again, done=lambda made: Named(made.id), keeps=Named)


def rows(system: System) -> list[str]:
    with begin(system, SYSTEM) as unit:
        return [str(row.answer) for row in unit.conn.execute(select(store.answers.c.answer))]


def test_what_is_told_is_not_kept_and_a_repeat_is_asked_about_again(any_system: System) -> None:
    asked: list[str] = []
    assert tell(any_system, asked) == {"id": "exp_1", "keys": "the keys of the first time"}
    assert [row.partition(" ")[2] for row in rows(any_system)] == ['{"id":"exp_1"}']
    assert tell(any_system, asked) == {"id": "exp_1", "keys": "keys made anew"}
    with pytest.raises(Denied) as caught:
        tell(any_system, asked, refused=True)
    assert caught.value.code == "test.held"
    assert asked == ["first", "again", "again"]


def test_an_answer_of_another_type_than_its_caller_named_is_not_kept(any_system: System) -> None:
    made = Bundle("exp_1", "keys")
    for key in (None, "a-key-of-a-client"):
        with pytest.raises(TypeError, match="Bundle is not kept"), begin(any_system, SYSTEM) as unit:
            once(unit, key, "body", lambda: made, keeps=Named)  # type: ignore[arg-type]
    assert rows(any_system) == []
