"""Attack: write into the row of a run what it never said, so that it is taken for another one, or says so of others.

What decides, and what the log tells, comes from the order under its seal or from the log; a row that says otherwise
is ended by name. What is written later has a seal of its own.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.test_bad_rows import ends_of, until_gone, write
from tests.runs.test_ends import FOR_EVER, going
from tests.runs.test_turns import TERN, two
from tests.runs.world import WREN, RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import NotFound
from weighthouse.core.work import begin, read
from weighthouse.runs import api as runs
from weighthouse.runs.api import executing
from weighthouse.runs.api.sealing import sealed_marks
from weighthouse.runs.jobs.processes import end_marked, mark


@pytest.fixture
def waits(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    """A world whose runner begins once it is told to."""
    made = RunsWorld(database, clock, tmp_path, short)
    made.judge.start()
    made.gates.start()
    made.grant("ada", "tern-train", TERN)
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()


def test_a_run_does_not_change_its_environment_by_the_model_that_its_row_names(waits: RunsWorld) -> None:
    """Attack: a run on frontier weights passes for one of the research environment, and both go on at once."""
    sends = waits.submit(FOR_EVER, model=TERN)
    listens = waits.submit("print('alone')")
    assert write(waits, sends.id, "model", f"'{WREN}'")
    with read(waits.system) as unit:  # though the row were put right again before it starts
        assert executing.waiting(unit, ()) == ((listens.id, "research"), [sends.id])
    waits.runner.start()
    assert waits.until(listens).state == "succeeded"
    (told,) = waits.facts("runs.RunFailed")
    assert (told["run"], told["model"], told["code"]) == (sends.id, TERN, "runs.row_seal")
    assert [fact["run"] for fact in waits.facts("runs.RunStarted")] == [listens.id]


def test_a_run_that_waits_does_not_take_the_turn_of_the_environment_that_its_row_names(world: RunsWorld) -> None:
    sends, listens = two(world)
    world.until_said(listens, "waits")
    assert write(world, listens.id, "model", f"'{TERN}'")
    deadline = time.monotonic() + 30
    while not ends_of(world, listens.id) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [(fact["run"], fact["code"]) for fact in world.facts("runs.RunFailed")] == [(listens.id, "runs.row_seal")]
    assert [fact["run"] for fact in world.facts("runs.RunStarted")] == [sends.id]


def test_nobody_reads_a_run_because_its_row_says_that_it_is_theirs(waits: RunsWorld) -> None:
    run, eve = waits.submit(FOR_EVER), waits.person("eve")
    for column, value in (("owner", eve.principal), ("account", eve.account)):
        assert write(waits, run.id, column, f"'{value}'")
    with read(waits.system) as unit:
        assert runs.page(unit, waits.person("eve")) == []
        with pytest.raises(NotFound):
            runs.get(unit, waits.person("eve"), run.id)


def test_a_run_that_waits_again_by_its_row_while_it_goes_on_is_begun_once(world: RunsWorld) -> None:
    run = going(world)
    assert write(world, run.id, "state", "'queued'")
    honest = world.submit("print('honest')")
    assert world.until(honest).state == "succeeded"
    with begin(world.system, world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "enough")
    until_gone(world, run)
    assert ends_of(world, run.id) == ["runs.RunStopped"]
    assert [fact["run"] for fact in world.facts("runs.RunStarted")] == [run.id, honest.id]


def test_a_run_of_which_the_log_has_the_end_does_not_end_again_because_its_row_says_that_it_goes_on(
    world: RunsWorld, short: Path
) -> None:
    world.grant("ada", "wren-train", WREN)
    run = world.until(world.submit("pass"))
    world.runner.stop()
    assert write(world, run.id, "state", "'running'")
    world.runner = world.new_runner(short).start()
    assert world.get(run).state == "succeeded" and ends_of(world, run.id) == ["runs.RunFinished"]


def test_nobody_is_said_to_have_asked_for_a_stop_that_a_row_alone_tells_of(world: RunsWorld) -> None:
    run = going(world)
    write(world, run.id, "stopped_by", "'chi'")
    write(world, run.id, "stop_text", "'because I say so'")
    assert write(world, run.id, "stop_asked", "'runs.stopped_by_person'")
    until_gone(world, run)
    (told,) = world.facts("runs.RunStopped")
    assert (told["why"], told["by"], told["text"]) == ("runs.row_seal", "system", "")


def test_the_words_of_a_stop_are_told_as_they_were_said(world: RunsWorld) -> None:
    run = going(world)
    with begin(world.system, world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "enough of it")
    world.until(run)
    (told,) = world.facts("runs.RunStopped")
    assert (told["why"], told["by"]) == ("runs.stopped_by_person", "ada")


@pytest.mark.parametrize("whose", ["somebody's", "another run's", "nobody's"])
def test_no_process_is_ended_at_the_word_of_a_row(waits: RunsWorld, whose: str) -> None:
    """Attack: name any process of the machine as one that a run has left behind."""
    run, other = waits.submit(FOR_EVER), waits.submit(FOR_EVER)
    stranger = subprocess.Popen(["/bin/sleep", "600"])
    try:
        with read(waits.system) as unit:
            sealed = sealed_marks(unit, other.id, mark(stranger.pid))
        said = {"somebody's": mark(stranger.pid), "another run's": sealed, "nobody's": "x 1/y/z x/"}[whose]
        write(waits, run.id, "process", f"'{said}'")
        write(waits, run.id, "state", "'running'")
        waits.runner._reap()
        assert stranger.poll() is None
        assert [(f["run"], f["code"]) for f in waits.facts("runs.RunFailed")] == [(run.id, "runs.server_died")]
        with read(waits.system) as unit:
            assert executing.orphans(unit) == []
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["x", "/", "a/b/c", "1/99999999999999999999/3", "b/-1/0"])
def test_a_mark_that_is_none_ends_nothing(text: str) -> None:
    assert not end_marked(text)
