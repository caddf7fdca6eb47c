"""The runner's thread is the only one that begins runs: no error that it did not foresee ends it, or loses a run."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import begin
from weighthouse.runs.adapters import ground
from weighthouse.runs.api import executing
from weighthouse.runs.jobs import runner
from weighthouse.runs.jobs.execution import Execution
from weighthouse.runs.ports import Ground


@pytest.fixture
def waits(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunsWorld]:
    """A world whose runner begins once it is told to."""
    monkeypatch.setattr(runner, "SETTLE_S", 0.2)
    made = RunsWorld(database, clock, tmp_path, short)
    made.judge.start()
    made.gates.start()
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()


def first(times: int, error: Exception, then: Callable[..., Any]) -> Callable[..., Any]:
    """Fail a few times, and then do it."""
    left = [error] * times

    def act(*arguments: Any, **named: Any) -> Any:
        if left:
            raise left.pop()
        return then(*arguments, **named)

    return act


@pytest.mark.parametrize("error", [ValueError("?"), OSError(errno.ENOSPC, "No space left"), KeyError("x")])
def test_what_the_runner_did_not_foresee_does_not_end_it(
    waits: RunsWorld, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(executing, "waiting", first(2, error, executing.waiting))
    run = waits.submit("print('still here')")
    waits.runner.start()
    assert waits.until(run).state == "succeeded"


def test_a_machine_without_threads_gives_the_run_back_which_waits_on(
    waits: RunsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Execution, "start", first(1, RuntimeError("can't start new thread"), Execution.start))
    run = waits.submit("print('begun once')")
    waits.runner.start()
    assert waits.until(run).state == "succeeded" and waits.output(run, "out") == ["begun once"]
    assert len(waits.facts("runs.RunStarted")) == 1


def test_a_full_disk_lets_a_run_wait_and_tells_it_why(waits: RunsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack, or bad luck: the machine's scratch folder is full when the server starts."""
    run = waits.submit("print('there was room again')")
    waits.system.bind(Ground, ground.ThisMachine(waits.system.settings))  # as started again: no sandbox was tried yet
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tempfile.gettempdir())
    with monkeypatch.context() as patch:
        patch.setattr(ground, "choose", first(10**6, full, ground.choose))
        with pytest.raises(Unavailable) as refused:
            waits.system.part(Ground).sandbox()
        assert refused.value.code == "core.no_space"
        waits.runner.start()
        waits.until_said(run, "waits: There is no space left")
        assert waits.get(run).state == "queued"
    assert waits.until(run).state == "succeeded"
    assert len([line for line in waits.output(run, "lab") if "waits" in line]) == 1


def test_a_run_that_cannot_be_buried_at_a_start_keeps_no_server_from_starting_and_is_buried_later(
    waits: RunsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [waits.submit("pass") for _ in range(2)]
    for run in left:
        with begin(waits.system) as unit:
            assert executing.claim(unit, run.id, "")
    monkeypatch.setattr(executing, "bury", first(1, ValueError("?"), executing.bury))
    waits.runner.start()
    assert {waits.until(run).reason for run in left} == {"runs.server_died"}
    assert waits.until(waits.submit("pass")).state == "succeeded"
