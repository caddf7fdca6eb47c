"""The embedded runner: takes queued runs in order, executes each in a thread of its own, reaps what was left behind.

Guards against two servers over one state folder (a lock on it decides who runs) and against orphans: everything a
run started dies with the thread that executes it, and a record that nobody executes any more is ended at start.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from weighthouse.core import disk
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
        self._owed: dict[str, Callable[[str], None]] = {}
        self._told = ""
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
        for run, marks in left:
            end_marked(marks)
            self._bury(run)
        with read(self._system) as unit:
            also = executing.left_open(unit)
        for run in also:
            self._bury(run)
        for parent in (self._places.folder, self._places.sockets):
            for folder in parent.glob("run_*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _bury(self, run: str) -> None:
        """End the record of a run that was left behind. One that cannot be ended now keeps nothing else from it."""
        try:
            with begin(self._system, SYSTEM) as unit:
                executing.bury(unit, run)
        except Exception:
            log.exception("%s was left by a server that died, and its end could not be recorded yet", run)
            self._owed[run] = self._bury
        else:
            log.warning("%s was left by a server that died, and is over", run)

    def _take(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._turn()
            except WeighthouseError as error:
                self._tell(f"{error.message} ({error.code})")
            except Exception as error:
                told = disk.explained(error)
                if told is None:
                    log.exception("the runner met what it did not foresee, and goes on")
                else:
                    self._tell(f"{told.message} ({told.code})")
                self._stop.wait(SETTLE_S)

    def _tell(self, text: str) -> None:
        """Tell the operator why no run starts, once for as long as it is so."""
        if self._told != text:
            log.warning("no run starts now: %s", text)
            self._told = text

    def _turn(self) -> None:
        """Look once at what has ended, and at what may begin."""
        self._settle()
        self._turns.keep(self._threads)
        if len(self._threads) >= self._system.settings.integer("runs.concurrent"):
            return
        run = self._claim()
        if run is None:
            return
        self._told = ""
        execution = Execution(self._system, self._places, run)
        try:
            execution.start()
        except RuntimeError:  # the machine has no thread left: nothing has begun, and the run goes on waiting
            log.exception("%s could not be begun, and waits again", run)
            self._put_back(run)
            raise
        self._threads[run] = execution

    def _put_back(self, run: str) -> None:
        try:
            with begin(self._system, SYSTEM) as unit:
                executing.put_back(unit, run)
        except Exception:
            log.exception("%s cannot wait again yet", run)
            self._owed[run] = self._put_back

    def _settle(self) -> None:
        """Let go of the runs that have ended; what one could not record is tried again until it is."""
        self._owing += [execution for execution in self._threads.values() if not execution.is_alive()]
        self._threads = {run: execution for run, execution in self._threads.items() if execution.is_alive()}
        if (self._owing or self._owed) and time.monotonic() >= self._settle_at:
            self._owing = [execution for execution in self._owing if not execution.settle()]
            owed, self._owed = self._owed, {}
            for run, step in owed.items():
                step(run)
            self._settle_at = time.monotonic() + SETTLE_S

    def _claim(self) -> str | None:
        with read(self._system) as unit:
            first, untrue = executing.waiting(unit, self._threads)
        for run in untrue:
            if run not in self._owed:  # what could not be ended is tried again later, and never begins
                self._refuse(run)
        if first is None:
            return None
        self._turns.make_ready(*first)
        if self._stop.is_set():
            return None
        with begin(self._system, SYSTEM) as unit:
            first, _ = executing.waiting(unit, self._threads)
            if first is None or not self._turns.may_start(unit, *first):
                return None
            return first[0] if executing.claim(unit, first[0], "") else None

    def _refuse(self, run: str) -> None:
        """End a run whose row is not the one that was submitted, before anything of it is looked at further."""
        try:
            with begin(self._system, SYSTEM) as unit:
                executing.refuse(unit, run)
        except Exception:
            log.exception("%s waits under a row that is not what was submitted, and cannot be ended", run[:40])
            self._owed[run] = self._refuse

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
