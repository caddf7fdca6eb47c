"""Two environments never talk through one kernel: a run of the one waits while runs of the other are going."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs.world import WREN, RunsWorld
from tests.weights.world import LAB
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.runs import api as runs
from weighthouse.runs.ports import Ground

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


# One bit a page of a file that both environments may read and nobody has read since it was written: what has been read
# lies in memory, and touching it costs no read of the disk, which the kernel counts for whoever asks.
BITS, APART = 256, 16 * 4096
PAGES = f"""
import os, random
BITS, APART = {BITS}, {APART}
draw = random.Random(5)
said = [draw.getrandbits(1) for _ in range(BITS)]
file = os.open('/data/notes', os.O_RDONLY)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
"""
NOTES = (
    PAGES
    + """
for at, bit in enumerate(said):
    if bit: os.pread(file, 1, at * APART)
print('noted', sum(said))
"""
)
FINDS = (
    PAGES
    + """
import mmap, resource
shown = mmap.mmap(file, 0, mmap.MAP_SHARED, mmap.PROT_READ)
shown.madvise(mmap.MADV_RANDOM)
found = []
for at in range(BITS):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    shown[at * APART]
    found.append(int(resource.getrusage(resource.RUSAGE_SELF).ru_majflt == before))
print(sum(one == other for one, other in zip(found, said, strict=True)), 'of', BITS, 'heard,', sum(found), 'ones')
"""
)


@pytest.fixture(params=["drop", "keep"])
def noted(
    request: pytest.FixtureRequest, database: Database, clock: ManualClock, tmp_path: Path, short: Path
) -> Iterator[RunsWorld]:
    """A world with a data set of one file, on disk, that nobody has read yet."""
    notes = tmp_path / "data" / "notes" / "notes"
    notes.parent.mkdir(parents=True)
    with notes.open("wb") as file:
        for at in range(BITS):
            file.seek(at * APART)
            file.write(b"a page" * 10_922)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    notes_too = (
        "  dataset/notes:\n    class: public\n    environment: shared\n    owner: training\n  dataset/stdlib:\n"
    )
    text = LAB.read_text("utf-8").replace("  dataset/stdlib:\n", notes_too, 1)
    flags = {"runs.datasets": tmp_path / "data", "runs.page_cache": request.param}
    made = RunsWorld(database, clock, tmp_path, short, text, **flags).start()
    yield made
    made.close()


def test_what_one_environment_has_read_is_forgotten_before_the_turn_of_another(noted: RunsWorld) -> None:
    """Attack: read a page of a shared file for each bit of the weights; who comes later asks which ones cost a read.

    With `keep` the same is heard but for a page or two that the kernel took back, as it does wherever memory is short:
    so that the test would notice if nothing could be heard at all.
    """
    kept = noted.system.settings.text("runs.page_cache") == "keep"
    noted.grant("ada", "tern-train", TERN)
    noted.grant("ada", "wren-train", WREN)
    writes = noted.until(noted.submit(NOTES, model=TERN, dataset="dataset/notes"))
    reads = noted.until(noted.submit(FINDS, dataset="dataset/notes"))
    assert (writes.state, reads.state) == ("succeeded", "succeeded")
    (said,) = noted.output(reads, "out")
    heard, ones = int(said.split()[0]), int(noted.output(writes, "out")[0].split()[1])
    assert heard >= BITS - 8 if kept else said == f"{BITS - ones} of {BITS} heard, 0 ones"
    (told,) = [line for line in noted.output(reads, "lab") if "the last" in line]
    assert ("emptied" in told or "taken out" in told) != kept
    assert not [line for line in noted.output(writes, "lab") if "the last" in line]


def test_whose_pages_lie_in_memory_is_known_after_the_server_was_started_again(noted: RunsWorld, short: Path) -> None:
    noted.grant("ada", "tern-train", TERN)
    noted.grant("ada", "wren-train", WREN)
    noted.until(noted.submit("pass", model=TERN))
    noted.runner.stop()
    noted.runner = noted.new_runner(short).start()
    reads = noted.until(noted.submit("pass"))
    assert [line for line in noted.output(reads, "lab") if "the last" in line]
    again = noted.until(noted.submit("pass"))
    assert not [line for line in noted.output(again, "lab") if "the last" in line]
    noted.runner.stop()
    (noted.state / "runs" / ".turn").unlink()  # as a state of before this was kept: somebody has read something
    noted.runner = noted.new_runner(short).start()
    unknown = noted.until(noted.submit("pass"))
    assert [line for line in noted.output(unknown, "lab") if "the last" in line]


class Forgetful:
    """A machine on which the page cache cannot be emptied until it can."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self.can = ground, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ground, name)

    def forget(self) -> str:
        return "whole" if self.can else ""


def test_where_nothing_can_be_forgotten_the_other_environment_waits_and_is_told_once(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path
) -> None:
    world = RunsWorld(database, clock, tmp_path, short)
    machine = Forgetful(world.system.part(Ground))
    world.system.bind(Ground, machine)
    world.start()
    try:
        world.grant("ada", "tern-train", TERN)
        world.grant("ada", "wren-train", WREN)
        assert world.until(world.submit("pass", model=TERN)).state == "succeeded"
        other = world.submit("pass")
        world.until_said(other, "cannot empty the page cache")
        assert world.get(other).state == "queued"
        machine.can = True
        assert world.until(other).state == "succeeded"
        assert len([line for line in world.output(other, "lab") if "cannot empty" in line]) == 1
    finally:
        world.close()
