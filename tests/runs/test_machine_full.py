"""A machine that has nothing left for a sandbox: no order is lost, none waits longer than it may, no tier is lowered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports.benches import Bench
from tests.ports.test_sandbox_ends import within
from tests.runs.world import WREN, RunsWorld
from weighthouse.access import api as access
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.runs import api as runs
from weighthouse.runs.adapters.bubblewrap import Bubblewrap
from weighthouse.runs.adapters.ground import find_bubblewrap, own_environment, try_out
from weighthouse.runs.ports import Ground, Sandbox

# As bubblewrap and runsc have said it.
FILTERS = "bwrap: prctl(PR_SET_SECCOMP): Unknown error 524"
SAYS = [
    FILTERS,
    "bwrap: Creating new namespace failed: Resource temporarily unavailable",
    "bwrap: Can't mount tmpfs on /newroot/dev/shm: Cannot allocate memory",
    "running container: starting sandbox: fork/exec /proc/self/exe: cannot allocate memory",
]


def crowded(folder: Path, says: str) -> tuple[Bubblewrap, Path]:
    """Return a real driver whose program meets what `says` tells while the file beside it is there."""
    full, program = folder / "full", folder / "bwrap"
    full.write_text("")
    program.write_text(
        f'#!/bin/sh\nif [ -e {full} ]; then echo "{says}" >&2; exit 1; fi\nexec {find_bubblewrap()} "$@"\n'
    )
    program.chmod(0o755)
    folder.chmod(0o755)
    return Bubblewrap(program), full


class Crowded:
    def __init__(self, ground: Ground, sandbox: Sandbox) -> None:
        self._ground, self._sandbox = ground, sandbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ground, name)

    def sandbox(self) -> Sandbox:
        return self._sandbox


@pytest.fixture
def full(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[tuple[RunsWorld, Path]]:
    world = RunsWorld(database, clock, tmp_path, short)
    driver, mark = crowded(tmp_path, FILTERS)
    world.system.bind(Ground, Crowded(world.system.part(Ground), driver))
    world.start()
    yield world, mark
    world.close()


def waiting(world: RunsWorld) -> runs.Run:
    world.grant("ada", "wren-train", WREN)
    run = world.submit("print('started after all')")
    world.until_said(run, "waits")
    return run


@pytest.mark.parametrize("says", SAYS)
def test_what_the_machine_lacks_is_told_from_a_sandbox_that_cannot_be(tmp_path: Path, short: Path, says: str) -> None:
    driver, full = crowded(tmp_path, says)
    bench = Bench(driver, own_environment(), short)
    with pytest.raises(Unavailable) as refused:
        bench.start("print(1)")
    assert refused.value.code == "runs.machine_full" and says in refused.value.message
    with pytest.raises(Unavailable) as tried:  # else a weaker sandbox would be taken for good
        try_out(driver, own_environment())
    assert tried.value.code == "runs.machine_full"
    full.unlink()
    assert bench.run("print(1)").out == ["1"]


def test_another_failure_ends_the_order_at_once(tmp_path: Path, short: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        Bench(crowded(tmp_path, "bwrap: no")[0], own_environment(), short).start("print(1)")
    assert refused.value.code == "runs.sandbox_failed"


def test_a_run_waits_for_the_machine_and_starts_when_there_is_room(full: tuple[RunsWorld, Path]) -> None:
    world, mark = full
    run = waiting(world)
    assert world.get(run).state == "preparing" and not world.facts("runs.RunFailed")
    mark.unlink()
    assert world.until(run).state == "succeeded"
    assert world.output(run, "out") == ["started after all"]
    assert len([line for line in world.output(run, "lab") if "waits" in line]) == 1


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_run_that_waits_takes_no_more_with_each_try(full: tuple[RunsWorld, Path]) -> None:
    world, mark = full
    run = waiting(world)
    looks = []
    for _ in range(100):  # longer than from one try to the next
        looks.append(open_files())
        time.sleep(0.02)
    time.sleep(4)  # a few tries
    assert within(lambda: open_files() <= min(looks)), "between two of them nothing is left of the first"
    mark.unlink()
    assert world.until(run).state == "succeeded"


def test_a_run_that_waits_for_the_machine_ends_when_it_is_stopped_or_rests_on_nothing(
    full: tuple[RunsWorld, Path],
) -> None:
    world, _ = full
    stopped = waiting(world)
    with world.unit(world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), stopped.id, "enough")
    ended = world.until(stopped)
    assert (ended.state, ended.reason) == ("stopped", "runs.stopped_by_person")
    revoked = world.submit("print(1)")
    world.until_said(revoked, "waits")
    with world.unit(world.person("chi")) as unit:
        assert revoked.grant is not None
        access.revoke(unit, world.person("chi"), revoked.grant, "suspicious")
    ended = world.until(revoked)
    assert (ended.state, ended.reason) == ("stopped", "runs.grant_ended")
    assert [fact["run"] for fact in world.facts("runs.RunStopped")] == [stopped.id, revoked.id]
    assert not world.facts("runs.RunFailed") and not world.facts("runs.RunStarted")
