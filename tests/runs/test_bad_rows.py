"""Attack: write one bad value into the row of a run, so that no stop of it holds, no end of it is ever told, and every
list, follower and start of the server ends in an error.

A row that cannot be read, or is not the one that was submitted, counts for nothing: it takes nobody else with it, and
no "no" is lost with it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.runs.test_ends import FOR_EVER, going, gone, processes_of
from tests.runs.world import WREN, RunsWorld
from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.runs import api as runs
from weighthouse.runs import store
from weighthouse.runs.api import executing
from weighthouse.runs.jobs import followers

ENDS = ("runs.RunStopped", "runs.RunFailed", "runs.RunFinished")
VALUES = {
    "half an object": "'{'",
    "nothing": "''",
    "null": "NULL",
    "a number that nobody can sign": "9000000000000000000",
    "bytes that are no text": "CAST(x'ff' AS TEXT)",
    "bytes": "x'ff'",
    "what another run says": "(SELECT {column} FROM runs_run WHERE id = :other)",
}


CASES = [
    *(("sqlite_url", column) for column in store.runs.c.keys()),  # noqa: SIM118
    *(("postgres_url", column) for column in ("model", "order_text", "facts", "state", "stop_asked", "process")),
]


@pytest.fixture
def still(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    """A world in which no runner runs: each of its steps is taken by hand."""
    database = Database(request.getfixturevalue(request.param))
    database.create_all()
    made = RunsWorld(database, clock, tmp_path, short)
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()
    database.close()


def write(world: RunsWorld, run: str, column: str, value: str, other: str = "") -> bool:
    """Write a value into a row; return whether the database took it."""
    said = value.replace("{column}", column)
    statement = f"UPDATE runs_run SET {column} = {said} WHERE id = :run"
    named = {"run": run, **({"other": other} if ":other" in statement else {})}
    try:
        with world.system.database.engine.begin() as connection:
            connection.execute(text(statement), named)
    except DBAPIError:  # of another type, empty where something must stand, or there already
        return False
    return True


def ends_of(world: RunsWorld, run: str) -> list[str]:
    return [kind for kind in ENDS for fact in world.facts(kind) if fact["run"] == run]


def looks(world: RunsWorld, run: str, honest: str) -> None:
    """Whoever looks has an answer, or a refusal that names what is wrong; and finds the others."""
    for person in ("ada", "chi", "fay"):
        caller = world.person(person)
        with read(world.system) as unit:
            if person != "chi":
                assert honest in [found.id for found in runs.page(unit, caller)]
            with contextlib.suppress(NotFound, Denied):
                runs.get(unit, caller, run)


def stops(world: RunsWorld, run: str) -> None:
    caller = world.person("chi")
    with contextlib.suppress(NotFound), begin(world.system, caller) as unit:
        runs.stop(unit, caller, run, "at once")
    with read(world.system) as unit:
        assert access.refused_for_good(unit, run)


def goes_on(world: RunsWorld, honest: str) -> None:
    """What a runner does at each turn: refuse the rows that are not true, take the first that is."""
    with read(world.system) as unit:
        first, untrue = executing.waiting(unit, ())
    assert first is not None and first[0] == honest
    for run in untrue:
        with contextlib.suppress(WeighthouseError), begin(world.system) as unit:
            executing.refuse(unit, run)


@pytest.mark.parametrize(("still", "column"), CASES, indirect=["still"])
def test_no_value_in_any_column_of_a_waiting_run_hinders_a_stop_or_anybody_else(
    still: RunsWorld, column: str
) -> None:
    for value in VALUES.values():
        victim = still.submit(FOR_EVER)
        honest = still.submit(FOR_EVER)
        if write(still, victim.id, column, value, honest.id):
            looks(still, victim.id, honest.id)
            stops(still, victim.id)
            goes_on(still, honest.id)
        assert len(ends_of(still, victim.id)) <= 1
        for one in (victim, honest):
            write(still, one.id, "state", "'stopped'")


@pytest.mark.parametrize(("still", "column"), CASES, indirect=["still"])
def test_no_value_in_any_column_of_a_run_that_goes_on_hides_its_end_or_hinders_a_restart(
    still: RunsWorld, short: Path, column: str
) -> None:
    for value in VALUES.values():
        victim, left, honest = (still.submit(FOR_EVER) for _ in range(3))
        for one in (victim, left):
            with begin(still.system) as unit:
                assert executing.claim(unit, one.id, "")
            write(still, one.id, "state", "'running'")
        if write(still, victim.id, column, value, honest.id) and write(still, left.id, column, value, honest.id):
            looks(still, victim.id, honest.id)
            with begin(still.system, still.person("chi")) as unit:
                access.place_hold(unit, still.person("chi"), "model/tern", "look again at all of them")
            for follower in followers:
                audit.pump(still.system, follower)
            stops(still, victim.id)
            with begin(still.system) as unit:
                executing.end(unit, victim.id, exit_status=None, failure="", sent_bytes=0, lost="runs.held")
            assert len(ends_of(still, victim.id)) == 1
            assert all(fact["model"] == WREN for kind in ENDS for fact in still.facts(kind))
            if column != "state":  # by which the one that was left might wait as well
                goes_on(still, honest.id)
            still.runner._reap()  # what a server does first
            if column not in ("id", "state"):
                assert len(ends_of(still, left.id)) == 1
        for one in (victim, left, honest):
            write(still, one.id, "state", "'stopped'")


@pytest.mark.parametrize(
    ("column", "value"),
    [("facts", "'{'"), ("order_text", "'{'"), ("state", "'succeeded'"), ("state", "'?'"), ("model", "'model/tern'")],
)
def test_a_stop_reaches_the_sandbox_whatever_was_written_into_the_row(
    world: RunsWorld, column: str, value: str
) -> None:
    run = going(world)
    marks = processes_of(world, run)
    assert write(world, run.id, column, value)
    if column == "model":  # whoever looks for it is told what is wrong
        with pytest.raises(Denied) as refused:
            world.get(run)
        assert refused.value.code == "runs.row_seal"
    with contextlib.suppress(NotFound), begin(world.system, world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "enough")
    until_gone(world, run)
    assert gone(marks) and ends_of(world, run.id) == ["runs.RunStopped"]
    (told,) = world.facts("runs.RunStopped")
    assert (told["model"], told["why"]) == (WREN, "runs.stopped_by_person")
    (asked,) = world.facts("runs.StopAsked")
    assert (asked["run"], asked["by"]) == (run.id, "ada")
    honest = world.submit("print('honest')")
    assert world.until(honest).state == "succeeded"


def until_gone(world: RunsWorld, run: runs.Run) -> None:
    deadline = time.monotonic() + 60
    while run.id in world.runner._threads and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.id not in world.runner._threads
