"""A watch that is held up: the run that nobody could end any more is killed, and told why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs.test_grace import DEAF, start
from tests.runs.world import RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.runs.jobs import watchdog
from weighthouse.runs.model import Line
from weighthouse.runs.ports import Ground, Handle, Sandbox, SandboxSpec


class Stuck:
    """A real sandbox whose output, once the code has spoken, nobody can read without waiting until it is gone."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._spoken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def lines(self, timeout_ms: int) -> list[Line]:
        while self._spoken and self._handle.wait(100) is None:
            pass
        found = self._handle.lines(timeout_ms)
        self._spoken = self._spoken or bool(found)
        return found


class StuckSandbox:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)

    def start(self, spec: SandboxSpec) -> Handle:
        return Stuck(self._sandbox.start(spec))


class StuckGround:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ground, name)

    def sandbox(self) -> Sandbox:
        return StuckSandbox(self._ground.sandbox())


@pytest.fixture
def stuck(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    world = RunsWorld(database, clock, tmp_path, short)
    world.system.bind(Ground, StuckGround(world.system.part(Ground)))
    world.start()
    yield world
    world.close()


def test_a_run_whose_watch_is_held_up_is_killed_and_the_log_says_so_once(
    stuck: RunsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE", 6)
    run = start(stuck, DEAF)
    ended = stuck.until(run)
    assert (ended.state, ended.reason, ended.exit_status) == ("failed", "runs.unwatched", 128 + 9)
    assert [fact["code"] for fact in stuck.facts("runs.RunFailed")] == ["runs.unwatched"]
    assert len(stuck.facts("egress.WayClosed")) == 1


def test_a_watch_that_turns_is_left_alone_and_one_that_stands_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE", 4)
    monkeypatch.setattr(watchdog, "TICK_S", 0.05)
    ended: list[int] = []
    with watchdog.Watchdog("run_test", lambda: ended.append(1)) as dog:
        turning = time.monotonic() + 1
        while time.monotonic() < turning:
            dog.turned()
        assert not ended and not dog.bitten
        dog.join(30)
    assert ended == [1] and dog.bitten
