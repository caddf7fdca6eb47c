"""Whose turn it is on one kernel. Guards environments from talking through what a kernel shares.

Runs that share the host's kernel share more than any filter names: locks on the same read-only files, caches, load.
So where the sandbox has no kernel of its own, runs of two environments never execute at the same time: the one that
has waited longest starts when those of the other environment have ended, and nobody is let in front of it. And what
files the earlier ones have read is forgotten before the first of the others starts, for what lies in memory can be
told by anybody. Whose pages lie there is kept on disk, for they outlive the server; unknown is somebody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from pathlib import Path

from weighthouse.core import disk
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.runs.api import executing
from weighthouse.runs.model import Line
from weighthouse.runs.ports import Ground

log = logging.getLogger("weighthouse.runs")

WAITS = (
    "waits: runs of another environment are executed on this kernel, and gVisor, which would part them, is not here"
)
STUCK = (
    "waits: a run of another environment was executed before, and this server cannot empty the page cache "
    "(runs.page_cache); the operator starts it as root, or gives that up"
)
PASSES = ("runs.machine_full", "core.no_space", "core.disk_unusable")  # nothing is wrong with the order
ANYBODY = b"v1 ?\n"
FORGOT = {
    "whole": "the machine's page cache was emptied before this run: the last one was of another environment",
    "files": "shared files were taken out of memory before this run, looked-up names were not: the last one was of "
    "another environment",
    "kept": "the last run was of another environment, and runs.page_cache keeps what it has left in the page cache",
}


class Turns:
    """What is going on in this runner, by environment as it was when each run began. `mark` is a file of its own."""

    def __init__(self, system: System, mark: Path) -> None:
        self._system = system
        self._mark = mark
        self._going: dict[str, str] = {}
        self._told = ""
        self._forgot = ""

    def keep(self, alive: Container[str]) -> None:
        """Forget the runs that have ended."""
        self._going = {run: environment for run, environment in self._going.items() if run in alive}

    def make_ready(self, run: str, environment: str) -> None:
        """Forget what runs of another environment have read, once none is going. Outside of any unit: it may last.

        Raises Unavailable `core.no_space`, `core.disk_unusable` where whose turn it is cannot be kept, and
        `runs.machine_full` and the like where no sandbox could be tried: the run goes on waiting, and is told.
        """
        try:
            shared = self._shared_kernel()
        except Unavailable as refusal:
            with begin(self._system) as unit:
                self._tell(unit, run, f"waits: {refusal.message}")
            raise
        if not shared:
            self._read_by(ANYBODY)  # at once
        elif not self._going and self._marked() != _line(environment):
            if self._marked() or self._any_begun():
                self._read_by(ANYBODY)
                self._forgot = FORGOT.get(self._system.part(Ground).forget(), "")
                if not self._forgot:
                    with begin(self._system) as unit:
                        self._tell(unit, run, STUCK)
                    return
            self._read_by(_line(environment))

    def may_start(self, unit: Unit, run: str, environment: str) -> bool:
        """Return whether a run may start beside those that are going, and count it as going; tell it when not."""
        if self._shared_kernel():
            if any(one != environment for one in self._going.values()):
                self._tell(unit, run, WAITS)
                return False
            if self._marked() != _line(environment):
                return False
        if self._forgot:
            executing.keep_lines(unit, run, [Line("lab", self._forgot)])
            self._forgot = ""
        self._going[run] = environment
        return True

    def _tell(self, unit: Unit, run: str, why: str) -> None:
        if self._told != run + why:
            executing.keep_lines(unit, run, [Line("lab", why)])
            self._told = run + why

    def _any_begun(self) -> bool:
        with read(self._system) as unit:
            return executing.any_begun(unit)

    def _marked(self) -> bytes:
        """By runs of which environment all was read that lies in memory; empty where nobody has written it down."""
        try:
            return self._mark.read_bytes()
        except OSError:
            return b""

    def _read_by(self, line: bytes) -> None:
        if self._marked() != line:
            try:
                self._mark.write_bytes(line)
            except OSError as error:
                log.error("whose turn it is cannot be kept, so no run starts: %s", error)
                raise disk.explained(error) or Unavailable(
                    "core.disk_unusable",
                    f"{self._mark} cannot be written: {error.strerror}.",
                    "Let the server write its state folder.",
                ) from error

    def _shared_kernel(self) -> bool:
        if self._system.settings.flag("runs.mixed_environments"):
            return False
        try:
            return self._system.part(Ground).sandbox().tier != "gvisor"
        except WeighthouseError as error:
            if error.code in PASSES:
                raise
            return False  # no sandbox at all: the run is not started, and is told why


def _line(environment: str) -> bytes:
    return f"v1 {environment}\n".encode()
