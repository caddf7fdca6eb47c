"""Locks of files are memory of the host's kernel that nobody counts: a run that takes them without end is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.runs.adapters import locks

pytestmark = pytest.mark.ordinary

# In a child of a child, as many as no honest program holds: each two bytes from the next, so that none are merged.
TAKES = """
import fcntl, os, struct, sys, time
if not os.fork():
    for file in range(20):
        held = os.open(f'{sys.argv[1]}/locked{file}', os.O_RDWR | os.O_CREAT, 0o600)
        for at in range(int(sys.argv[2]), 0, -1):
            fcntl.fcntl(held, fcntl.F_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 4 * at, 1, 0))
    print('taken', flush=True)
time.sleep(600)
"""
# Locks of whole files, taken by processes that are gone: the files are still open, and the kernel names nobody alive.
HIDES = """
import fcntl, os, sys, time
held = [os.open(f'{sys.argv[1]}/hidden{file}', os.O_RDWR | os.O_CREAT, 0o600) for file in range(200)]
if not os.fork():
    for one in held: fcntl.flock(one, fcntl.LOCK_EX)
    os._exit(0)
os.wait(); print('taken', flush=True); time.sleep(600)
"""


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    return process


def test_a_run_that_takes_locks_without_end_is_ended_and_the_log_says_why_once(world: RunsWorld) -> None:
    """A run of 21 MiB by its own group had taken 529 MiB of the kernel in 14 s."""
    world.grant("ada", "wren-train", WREN)
    run = world.submit(TAKES, arguments=("/tmp", "300"))
    ended = world.until(run)
    assert (ended.state, ended.reason, ended.exit_status) == ("failed", "runs.too_many_locks", 128 + 9)
    assert [fact["code"] for fact in world.facts("runs.RunFailed")] == ["runs.too_many_locks"]


def ended(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_locks_count_for_whoever_started_their_holder_and_for_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "little").mkdir()
    much, little = started(TAKES, str(tmp_path), "300"), started(TAKES, str(tmp_path / "little"), "150")
    try:
        assert locks.too_many(much.pid) and not locks.too_many(little.pid)
    finally:
        ended(much), ended(little)


def test_a_run_that_hides_its_locks_behind_those_of_processes_that_are_gone_is_known_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOOKED_AT", 150)
    hiding = started(HIDES, str(tmp_path))
    try:
        assert locks.too_many(hiding.pid) and not locks.too_many(os.getpid() + 0x400000)
    finally:
        ended(hiding)
