"""Two environments never talk through one kernel: a run of the one waits while runs of the other are going."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.runs import api as runs

TERN = "model/tern"
# One bit after the other through a lock on a file that both may only read: who asks sees whether it is held.
SENDS = """
import fcntl, sys, time
f = open('/data/os.py')
print('sends', flush=True)
while True:
    fcntl.flock(f, fcntl.LOCK_EX); time.sleep(0.02); fcntl.flock(f, fcntl.LOCK_UN); time.sleep(0.02)
"""
LISTENS = """
import fcntl, time
f, heard, end = open('/data/os.py'), 0, time.monotonic() + 3
while time.monotonic() < end:
    try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB); fcntl.flock(f, fcntl.LOCK_UN)
    except OSError: heard += 1
print('heard', heard > 0, flush=True)
"""


def two(world: RunsWorld) -> tuple[runs.Run, runs.Run]:
    """Start a run on frontier weights that sends, and submit one of the research environment that listens."""
    world.grant("ada", "tern-train", TERN)
    world.grant("ada", "wren-train", WREN)
    sends = world.submit(SENDS, model=TERN)
    world.until_said(sends, "sends")
    return sends, world.submit(LISTENS)


def stop(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "enough")
    world.until(run)


def test_runs_r5_a_run_of_another_environment_waits_is_told_why_and_hears_nothing(world: RunsWorld) -> None:
    sends, listens = two(world)
    world.until_said(listens, "waits")
    assert world.get(listens).state == "queued" and world.get(sends).state == "running"
    beside = world.submit("print('beside')", model=TERN)  # of the environment that is going, but asked for later
    stop(world, sends)
    assert world.until(listens).state == "succeeded" and world.output(listens, "out") == ["heard False"]
    assert world.until(beside).state == "succeeded"
    assert len([line for line in world.output(listens, "lab") if "waits" in line]) == 1


@pytest.fixture
def mixed(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    world = RunsWorld(database, clock, tmp_path, short, **{"runs.mixed_environments": True}).start()
    yield world
    world.close()


def test_where_the_operator_mixes_environments_they_do_hear_each_other(mixed: RunsWorld) -> None:
    """What the waiting is for: without it, a lock on shared read-only data carries bits."""
    sends, listens = two(mixed)
    assert mixed.until(listens).state == "succeeded" and mixed.output(listens, "out") == ["heard True"]
    stop(mixed, sends)


def test_a_run_that_is_stopped_while_it_waits_lets_the_next_one_start(world: RunsWorld) -> None:
    sends, listens = two(world)
    world.until_said(listens, "waits")
    stop(world, listens)
    beside = world.submit("print('beside')", model=TERN)
    assert world.until(beside).state == "succeeded" and world.get(sends).state == "running"
    stop(world, sends)
