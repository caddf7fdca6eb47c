"""A while to save: whoever stops a run without an accusation lets it end by itself, and nothing puts the end off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.access import api as access
from weighthouse.core.clock import SECOND, ManualClock
from weighthouse.core.database import Database
from weighthouse.runs import api as runs

SAVES = """
import os, signal, sys, time
import numpy
from weighthouse_sdk.workload import Workload
def end(*_):
    Workload().save(os.environ['WEIGHTHOUSE_MODEL'], {'w': numpy.ones(4, 'float32')})
    os.write(1, b'saved\\n')
    os._exit(5)
signal.signal(signal.SIGTERM, end)
os.write(1, b'going\\n')
while True: time.sleep(1)
"""
DEAF = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.write(1, b'going\\n')\ntime.sleep(600)"


def start(world: RunsWorld, code: str) -> runs.Run:
    world.grant("ada", "wren-train", WREN)
    run = world.submit(code)
    world.until(run, "running")
    world.until_said(run, "going")
    return run


def stop(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "enough")


@pytest.fixture
def short_grace(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    world = RunsWorld(database, clock, tmp_path, short, **{"runs.grace_s": 1}).start()
    yield world
    world.close()


def test_a_stopped_run_may_save_and_its_status_is_its_own(world: RunsWorld) -> None:
    run = start(world, SAVES)
    stop(world, run)
    ended = world.until(run)
    assert (ended.state, ended.reason, ended.exit_status) == ("stopped", "runs.stopped_by_person", 5)
    assert world.output(run, "out")[-1] == "saved" and len(world.facts("weights.CheckpointSealed")) == 1
    assert "exit status 5" in world.output(run, "lab")[-1] and "SIGTERM" in world.output(run, "lab")[-1]


def test_a_run_that_does_not_listen_is_killed_when_its_while_is_over(short_grace: RunsWorld) -> None:
    run = start(short_grace, DEAF)
    stop(short_grace, run)
    ended = short_grace.until(run)
    assert (ended.state, ended.exit_status) == ("stopped", 128 + 9)
    assert "killed (exit status 137)" in short_grace.output(run, "lab")[-1]


def test_the_end_of_time_is_told_before_it_comes(world: RunsWorld) -> None:
    run = start(world, SAVES)
    world.clock.advance(115 * SECOND)  # of 120; the ten seconds of grace lie inside
    ended = world.until(run)
    assert (ended.state, ended.reason, ended.exit_status) == ("failed", "runs.out_of_time", 5), world.output(run)
    assert world.output(run, "out")[-1] == "saved"


def test_a_gentle_stop_does_not_put_off_a_hold(world: RunsWorld) -> None:
    """The owner of a run that is looked at stops it gently first, for the while in which it may still save."""
    run = start(world, DEAF)
    stop(world, run)
    with world.unit(world.person("chi")) as unit:
        access.place_hold(unit, world.person("chi"), WREN, "look into it")
    world.follow()
    ended = world.until(run)
    assert ended.reason == "runs.held" and "had not ended" not in " ".join(world.output(run, "lab")), world.output(
        run
    )
    assert [f["why"] for f in world.facts("runs.RunStopped")] == ["runs.held"]


def test_a_code_that_fails_is_told_with_its_number(world: RunsWorld) -> None:
    world.grant("ada", "wren-train", WREN)
    run = world.submit("raise SystemExit(41)")
    ended = world.until(run)
    assert (ended.reason, ended.exit_status) == ("runs.exit_status", 41)
    assert world.output(run, "lab")[-1] == "the code ended with exit status 41"
