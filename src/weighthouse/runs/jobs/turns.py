"""Whose turn it is on one kernel. Guards environments from talking through what a kernel shares.

Runs that share the host's kernel share more than any filter names: locks on the same read-only files, caches, load.
So where the sandbox has no kernel of its own, runs of two environments never execute at the same time: the one that
has waited longest starts when those of the other environment have ended, and nobody is let in front of it.
"""

from __future__ import annotations

from collections.abc import Container

from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, Unit
from weighthouse.runs.api import executing
from weighthouse.runs.model import Line
from weighthouse.runs.ports import Ground

WAITS = (
    "waits: runs of another environment are executed on this kernel, and gVisor, which would part them, is not here"
)


class Turns:
    """What is going on in this runner, by environment as it was when each run began."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._going: dict[str, str] = {}
        self._told = ""

    def keep(self, alive: Container[str]) -> None:
        """Forget the runs that have ended."""
        self._going = {run: environment for run, environment in self._going.items() if run in alive}

    def may_start(self, unit: Unit, run: str, environment: str) -> bool:
        """Return whether a run may start beside those that are going, and count it as going; tell it when not."""
        others = any(one != environment for one in self._going.values())
        if others and self._shared_kernel():
            if self._told != run:
                executing.keep_lines(unit, run, [Line("lab", WAITS)])
                self._told = run
            return False
        self._going[run] = environment
        return True

    def _shared_kernel(self) -> bool:
        if self._system.settings.flag("runs.mixed_environments"):
            return False
        try:
            return self._system.part(Ground).sandbox().tier != "gvisor"
        except WeighthouseError:
            return False  # no sandbox at all: the run is not started, and is told why
