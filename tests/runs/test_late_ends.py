"""An end that comes while a sandbox still starts: the code never begins, and is left no while to save anything.

Attack: submit a run whose start takes long. Whoever stopped or held it was answered with OK, and the code began
afterwards all the same, with all of its grace.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ports.test_sandbox_ends import below
from tests.runs.test_grace import stop
from tests.runs.world import WREN, RunsWorld
from weighthouse.access import api as access
from weighthouse.core.clock import SECOND, ManualClock
from weighthouse.core.database import Database
from weighthouse.identity import api as identity
from weighthouse.runs import api as runs
from weighthouse.runs.adapters import contained, volume
from weighthouse.runs.model import Facts
from weighthouse.runs.ports import Ground

BEGUN = "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.write(1, b'begun\\n')\nsignal.pause()"


class Halted:
    """Halts starts in which nothing but one word keeps the code from starting."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.there, self.goes_on = threading.Event(), threading.Event()
        real = contained.judge

        def judge(*seen: Any) -> Facts:
            self.there.set()
            assert self.goes_on.wait(60)
            return real(*seen)

        patch.setattr(contained, "judge", judge)


def hold(world: RunsWorld, _: runs.Run) -> None:
    with world.unit(world.person("chi")) as unit:
        access.place_hold(unit, world.person("chi"), WREN, "look into it")


def revoke(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("chi")) as unit:
        assert run.grant is not None
        access.revoke(unit, world.person("chi"), run.grant, "suspicious")


def freeze(world: RunsWorld, _: runs.Run) -> None:
    with world.unit(world.person("chi")) as unit:
        identity.freeze(unit, "ada", "look into it", world.person("chi"))


def time_over(world: RunsWorld, _: runs.Run) -> None:
    world.clock.advance(121 * SECOND)


ENDS: dict[str, tuple[Callable[[RunsWorld, runs.Run], None], str, str]] = {
    "stop": (stop, "stopped", "runs.stopped_by_person"),
    "hold": (hold, "stopped", "runs.held"),
    "revoke": (revoke, "stopped", "runs.grant_ended"),
    "freeze": (freeze, "stopped", "runs.person_frozen"),
    "time": (time_over, "failed", "runs.not_started"),
}


@pytest.fixture(params=["bubblewrap", pytest.param("gvisor", marks=pytest.mark.real_gvisor)])
def lab(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path, request: pytest.FixtureRequest
) -> Iterator[RunsWorld]:
    made = RunsWorld(database, clock, tmp_path, short, **{"runs.sandbox": request.param})
    made.system.part(Ground).sandbox()  # tried out before any start is halted
    yield made.start()
    made.close()


def submitted(lab: RunsWorld) -> runs.Run:
    lab.grant("ada", "wren-train", WREN)
    return lab.submit(BEGUN)


def told_once(lab: RunsWorld, run: runs.Run) -> None:
    """The code has said nothing, and the end is one line and one entry."""
    assert lab.output(run, "out") == [] and lab.output(run, "err") == []
    assert len([line for line in lab.output(run, "lab") if "before it had started" in line]) == 1, lab.output(run)
    ends = [*lab.facts("runs.RunStopped"), *lab.facts("runs.RunFailed"), *lab.facts("runs.RunFinished")]
    assert [fact["run"] for fact in ends] == [run.id] and not lab.facts("runs.RunStarted")


@pytest.mark.parametrize("how", ENDS)
def test_an_end_between_the_report_and_the_word_keeps_the_code_from_starting(
    lab: RunsWorld, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    halted = Halted(monkeypatch)
    run = submitted(lab)
    assert halted.there.wait(60) and lab.get(run).state == "preparing"
    lab.runner._threads[run.id]._ask_at = time.monotonic() + 60  # it was asked a moment ago
    act, state, reason = ENDS[how]
    act(lab, run)
    halted.goes_on.set()
    ended = lab.until(run, seconds=8)  # less than a run is left to save
    assert (ended.state, ended.reason, ended.exit_status) == (state, reason, None), lab.output(run)
    told_once(lab, run)


def test_the_end_of_the_server_keeps_it_from_starting_too(lab: RunsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    halted = Halted(monkeypatch)
    run = submitted(lab)
    assert halted.there.wait(60)
    execution = lab.runner._threads[run.id]
    execution.abandon()
    halted.goes_on.set()
    execution.join(8)
    assert not execution.is_alive() and lab.get(run).reason == "runs.server_stopped"
    told_once(lab, run)


def test_a_start_whose_report_does_not_come_ends_as_soon_as_its_run_is_stopped(
    lab: RunsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that was started is held up before it says a word, as by a machine that is starved."""
    waits = threading.Event()
    real = contained.Contained._report

    def report(handle: contained.Contained, still: Callable[[], None]) -> bytes:
        for _ in range(3):  # what was started while the others were stopped, too
            for pid in below(handle.pid):
                os.kill(pid, signal.SIGSTOP)
        waits.set()
        return real(handle, still)

    monkeypatch.setattr(contained.Contained, "_report", report)
    run = submitted(lab)
    assert waits.wait(60)
    stop(lab, run)
    assert lab.until(run, seconds=8).reason == "runs.stopped_by_person"
    told_once(lab, run)


def test_a_volume_that_is_long_in_the_making_keeps_nobody_waiting_who_stops_the_run(
    lab: RunsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, real = threading.Event(), volume.Volume.command

    def command(of: volume.Volume, inner: Sequence[str]) -> list[str]:
        waits.set()
        return ["/bin/sh", "-c", 'sleep 25; exec "$@"', "sh", *real(of, inner)]

    monkeypatch.setattr(volume.Volume, "command", command)
    run = submitted(lab)
    assert waits.wait(60)
    stop(lab, run)
    assert lab.until(run, seconds=8).reason == "runs.stopped_by_person"
    told_once(lab, run)
