"""The embedded runner: takes queued runs in order, executes each in a thread of its own, reaps what was left behind.

Guards against two servers over one state folder (a lock on it decides who runs) and against orphans: everything a
run started dies with the thread that executes it, and a record that nobody executes any more is ended at start.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import threading
import time
from pathlib import Path

from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, begin, read
from weighthouse.runs.api import executing
from weighthouse.runs.jobs.execution import Execution, Places
from weighthouse.runs.jobs.processes import end_marked
from weighthouse.runs.jobs.turns import Turns
from weighthouse.runs.ports import Gates, Tokens

log = logging.getLogger("weighthouse.runs")

LOOK_S = 0.2
SETTLE_S = 2.0


class Runner:
    """Executes runs until `stop`. `folder` is scratch, `sockets` a short path; `judge` is one."""

    def __init__(self, system: System, *, folder: Path, sockets: Path, judge: Path, gates: Gates) -> None:
        self._system = system
        self._places = Places(folder=folder, sockets=sockets, judge=judge, gates=gates)
        self._stop = threading.Event()
        self._lock: int | None = None
        self._threads: dict[str, Execution] = {}
        self._owing: list[Execution] = []
        self._settle_at = 0.0
        self._turns = Turns(system, folder / ".turn")
        self._thread = threading.Thread(target=self._take, name="runner", daemon=True)
        system.bind(Tokens, Tokens())
        system.bind(Gates, gates)

    def start(self) -> Runner:
        """Take the folder, reap, and begin; a folder that another server holds leaves this one without a runner."""
        self._places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._places.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._places.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            log.warning("another server executes the runs of this state folder; this one executes none")
            return self
        self._lock = lock
        self._reap()
        self._thread.start()
        return self

    def _reap(self) -> None:
        with read(self._system) as unit:
            left = executing.orphans(unit)
        for run, mark in left:
            end_marked(mark)
            with begin(self._system, SYSTEM) as unit:
                executing.bury(unit, run)
            log.warning("%s was left by a server that died, and is marked as failed", run)
        with begin(self._system, SYSTEM) as unit:
            executing.close_left(unit)
        for parent in (self._places.folder, self._places.sockets):
            for folder in parent.glob("run_*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _take(self) -> None:
        limit = self._system.settings.integer("runs.concurrent")
        while not self._stop.wait(LOOK_S):
            self._settle()
            self._turns.keep(self._threads)
            if len(self._threads) >= limit:
                continue
            with contextlib.suppress(WeighthouseError):
                run = self._claim()
                if run is not None:
                    execution = Execution(self._system, self._places, run)
                    self._threads[run] = execution
                    execution.start()

    def _settle(self) -> None:
        """Let go of the runs that have ended; what one could not record is tried again until it is."""
        self._owing += [execution for execution in self._threads.values() if not execution.is_alive()]
        self._threads = {run: execution for run, execution in self._threads.items() if execution.is_alive()}
        if self._owing and time.monotonic() >= self._settle_at:
            self._owing = [execution for execution in self._owing if not execution.settle()]
            self._settle_at = time.monotonic() + SETTLE_S

    def _claim(self) -> str | None:
        with read(self._system) as unit:
            first = executing.waiting(unit)
        if first is None:
            return None
        self._turns.make_ready(*first)
        if self._stop.is_set():
            return None
        with begin(self._system, SYSTEM) as unit:
            first = executing.waiting(unit)
            if first is None or not self._turns.may_start(unit, *first):
                return None
            return first[0] if executing.claim(unit, first[0], "") else None

    def stop(self) -> None:
        """End every run of this server and wait until nothing of them is left."""
        self._stop.set()
        if self._lock is None:
            return
        self._thread.join(timeout=30)
        for execution in list(self._threads.values()):
            execution.abandon()
        wait = 60 + self._system.settings.integer("runs.grace_s")
        for execution in list(self._threads.values()):
            execution.join(timeout=wait)
        self._settle_at = 0.0
        self._settle()
        os.close(self._lock)
        self._lock = None
