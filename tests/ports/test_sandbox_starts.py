"""What ends a sandbox that is still being started: its time, a kill, the server, or a start that takes too long.

Attack: bubblewrap's second process is on no leash before all is mounted. Whatever ends the first one meanwhile (the
run's own end of time, the kernel for want of memory, a limit on starts) left the second to go on, and the code ran
for as long as it liked, under no run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports.benches import Bench, driver
from tests.ports.conftest import BUBBLEWRAP
from tests.ports.test_sandbox_ends import below, within

from weighthouse.core.errors import Unavailable
from weighthouse.runs.adapters import bubblewrap, contained
from weighthouse.runs.adapters.held import Held
from weighthouse.runs.model import Environment
from weighthouse.runs.ports import SandboxSpec

SPOKEN = "print('going', flush=True)\nimport time\nwhile True: time.sleep(1)"


class Stuck:
    """A start whose mounting never ends: what is to be copied into the sandbox comes through a pipe, and does not."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._reading, self._writing = os.pipe()
        self.begun: list[subprocess.Popen[bytes]] = []
        self.said: list[BaseException] = []
        launch = contained.launch

        def launched(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
            self.begun.append(launch(*arguments, **options))  # type: ignore[arg-type]
            return self.begun[-1]

        patch.setattr(bubblewrap, "launch", launched)
        patch.setattr(bubblewrap, "_furnished", self._furnished)

    def _furnished(self, _spec: SandboxSpec, _uid: int, held: Held) -> tuple[list[str], list[str]]:
        descriptor = held.keep(os.dup(self._reading))
        return ["--perms", "0444", "--ro-bind-data", str(descriptor), "/tmp/stuck"], []

    def start(self, bench: Bench, ends: float = 0.0) -> None:
        with pytest.raises(Unavailable) as refusal:
            bench.start(SPOKEN, ends=ends)
        self.said.append(refusal.value)

    def family(self) -> dict[int, str]:
        return below(self.begun[0].pid) if self.begun else {}

    def go_on(self) -> None:
        """Let whatever still waits go on."""
        os.close(self._writing)
        os.close(self._reading)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    made = Stuck(monkeypatch)
    yield made
    with contextlib.suppress(OSError):
        made.go_on()


@pytest.fixture(params=BUBBLEWRAP)
def bench(request: pytest.FixtureRequest, environment: Environment, short: Path) -> Bench:
    return Bench(driver(request.param), environment, short)


def alive(family: dict[int, str]) -> list[int]:
    """Those of a family that live, however their parents ended."""
    return [pid for pid, begun in family.items() if below(pid).get(pid) == begun]


def test_a_start_that_is_killed_leaves_nothing_that_goes_on(bench: Bench, stuck: Stuck) -> None:
    thread = threading.Thread(target=stuck.start, args=(bench,))
    thread.start()
    assert within(lambda: len(stuck.family()) >= 3), "bubblewrap's second process is there"
    family = stuck.family()
    os.kill(stuck.begun[0].pid, signal.SIGKILL)
    thread.join(contained.START_LIMIT_S / 2)
    assert not thread.is_alive(), "nobody waits for a report of what is gone"
    stuck.go_on()
    assert within(lambda: not alive(family))
    assert [one.code for one in stuck.said if isinstance(one, Unavailable)] == ["runs.sandbox_failed"]


def test_the_end_of_a_runs_time_ends_its_start(bench: Bench, stuck: Stuck) -> None:
    thread = threading.Thread(target=stuck.start, args=(bench, time.monotonic() + 3))
    thread.start()
    assert within(lambda: len(stuck.family()) >= 4), "the keeper too"
    family = stuck.family()
    thread.join(contained.START_LIMIT_S / 2)
    assert not thread.is_alive() and stuck.begun[0].returncode == -signal.SIGALRM
    stuck.go_on()
    assert within(lambda: not alive(family))


def test_a_start_that_takes_too_long_is_given_up_with_all_that_it_began(
    bench: Bench, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contained, "START_LIMIT_S", 3)
    thread = threading.Thread(target=stuck.start, args=(bench,))
    thread.start()
    assert within(lambda: len(stuck.family()) >= 3)
    family = stuck.family()
    thread.join(30)
    assert not thread.is_alive()
    stuck.go_on()
    assert within(lambda: not alive(family))


def test_a_report_that_nobody_gives_is_waited_for_no_longer_than_a_start_may_take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who is no part of the run any more holds its pipe open, and says nothing."""
    monkeypatch.setattr(contained, "START_LIMIT_S", 2)
    holder: list[subprocess.Popen[bytes]] = []

    def launched(_: object, __: object, owned: contextlib.ExitStack, *___: object, **____: object) -> contained.Pipes:
        apart = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nos._exit(0)"
        holder.append(
            subprocess.Popen(
                [sys.executable, "-c", apart], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )  # fmt: skip
        owned.callback(contained._ended, holder[-1])
        return holder[-1]

    monkeypatch.setattr(bubblewrap, "launch", launched)
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable) as refusal:
            bench.start(SPOKEN)
        assert refusal.value.code == "runs.sandbox_failed"
        assert time.monotonic() - began < 50
    finally:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and b"os.setsid()\n    time.sleep(60)" in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)


def test_a_guard_whose_driver_is_gone_ends_with_all_that_it_started(bench: Bench) -> None:
    handle = bench.start(SPOKEN)
    try:
        family = below(handle.pid)
        assert handle._process.stdin is not None  # type: ignore[attr-defined]
        handle._process.stdin.close()  # type: ignore[attr-defined]
        assert within(lambda: not alive(family)), "nobody can end it any more, so it ends"
    finally:
        handle.stop()


@pytest.mark.parametrize("part", range(6))
def test_whatever_moment_of_a_start_its_end_falls_into_nothing_outlives_it(
    bench: Bench, part: int, tmp_path: Path
) -> None:
    """The specimen of the finder: a run's own end of time, somewhere in its start."""
    began = time.monotonic()
    bench.start(SPOKEN).stop()
    took = time.monotonic() - began
    mark = f"mark {tmp_path}"
    with contextlib.suppress(Unavailable):
        handle = bench.start(f"# {mark}\n{SPOKEN}", ends=time.monotonic() + took * (0.4 + part / 10))
        within(lambda: handle.wait(0) is not None)
        handle.stop()
    time.sleep(took)
    assert [one for one in Path("/proc").iterdir() if one.name.isdigit() and says(one, mark)] == []


def says(process: Path, mark: str) -> bool:
    try:
        return mark.encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False
