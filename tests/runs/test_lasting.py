"""Attack: the database is made to forget every no, by trigger or by hand, while a run goes on. It must not go on.

In none of these tests does a follower run: whatever its cursor says, the runner asks again by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.runs.test_ends import FOR_EVER, _freeze, _hold, _revoke, going, gone, processes_of
from tests.runs.world import WREN, RunsWorld
from weighthouse.access import api as access
from weighthouse.runs import api as runs

FORGETFUL = """
CREATE TRIGGER forgetful AFTER UPDATE OF stop_asked ON runs_run WHEN NEW.stop_asked <> ''
BEGIN UPDATE runs_run SET stop_asked = '', stopped_by = '', stop_text = '' WHERE id = NEW.id; END
"""


def sql(world: RunsWorld, statement: str) -> None:
    with world.system.database.engine.begin() as connection:
        connection.execute(text(statement))


def _stop(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "enough")


def _hold_data(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("chi")) as unit:
        access.place_hold(unit, world.person("chi"), run.order.dataset, "the data is poisoned")


def _give_back(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("ada")) as unit:
        access.give_back(unit, world.person("ada"), str(run.grant))


ENDS: dict[str, tuple[Callable[[RunsWorld, runs.Run], None], set[str]]] = {
    "a person stops it": (_stop, {"runs.stopped_by_person"}),
    "its grant is revoked": (_revoke, {"runs.grant_ended"}),
    "its grant is given back": (_give_back, {"runs.grant_ended"}),
    "its model is held": (_hold, {"runs.held"}),
    "its data set is held": (_hold_data, {"runs.held"}),
    # The last of them for a moment only: a freeze is remembered before its row is written.
    "its owner is frozen": (_freeze, {"runs.person_frozen", "runs.grant_ended", "runs.lost_access"}),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_run_ends_with_what_it_rests_on_though_the_database_forgets_every_stop(world: RunsWorld, end: str) -> None:
    run = going(world)
    marks = processes_of(world, run)
    sql(world, FORGETFUL)
    act, codes = ENDS[end]
    act(world, run)
    ended = world.until_ended(run, "ada")
    assert ended.state == "stopped" and ended.reason in codes and gone(marks)
    assert [f["why"] for f in world.facts("runs.RunStopped")] == [ended.reason]


def test_a_stop_that_the_database_did_not_keep_is_on_record_as_such(world: RunsWorld) -> None:
    run = going(world)
    sql(world, FORGETFUL)
    _stop(world, run)
    assert [(f["by"], f["kept"]) for f in world.facts("runs.StopAsked")] == [("ada", False)]
    world.until_ended(run, "ada")


def test_a_stopped_run_that_waited_is_not_executed_when_its_row_is_put_back(world: RunsWorld) -> None:
    world.grant("ada", "wren-train", WREN)
    with world.unit(world.person("ada")) as unit:  # in one transaction, so that no runner takes it in between
        caller = world.person("ada")
        run = runs.submit(
            unit, caller, model=WREN, environment=runs.environments(unit)[0].digest, command=("python", "main.py"),
            code={"main.py": FOR_EVER}, dataset="dataset/stdlib", parent=None, risk="high", egress_profile="none",
        )  # fmt: skip
        runs.stop(unit, caller, run.id, "never mind")
    sql(world, f"UPDATE runs_run SET state = 'queued', stop_asked = '', ended = NULL WHERE id = '{run.id}'")
    ended = world.until_ended(run, "ada")
    assert (ended.state, ended.reason) == ("failed", "runs.stopped_by_person")
    assert world.facts("runs.RunStarted") == []


def test_a_run_whose_row_is_taken_away_ends_and_is_told_of(world: RunsWorld) -> None:
    run = going(world)
    marks = processes_of(world, run)
    sql(world, f"DELETE FROM runs_run WHERE id = '{run.id}'")
    deadline = time.monotonic() + 60
    while not world.facts("runs.RunStopped") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [(f["run"], f["why"]) for f in world.facts("runs.RunStopped")] == [(run.id, "runs.row_gone")]
    assert gone(marks)
