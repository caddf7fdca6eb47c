"""Ends a run that nobody watches any more. Guards every hold, freeze and end of time from a watch that is held up.

Attack: make the one thread wait that sees to the end of a run, for a pipe that is never read, a file system that
never answers, and go on meanwhile. This thread waits for nothing that a run has a hand in: it counts its own ticks,
so that a server that stood still as a whole starts counting where it stopped, and asks neither database nor sandbox.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("weighthouse.runs")

TICK_S = 0.5
PATIENCE = 60  # ticks; a turn that waits for each lock of a busy database for as long as it may takes fewer


class Watchdog(threading.Thread):
    """Calls `end` once if the watch has not `turned` for `PATIENCE` ticks; use it as a context."""

    def __init__(self, run: str, end: Callable[[], None]) -> None:
        super().__init__(name=f"dog-{run[-8:]}", daemon=True)
        self._run_id = run
        self._end = end
        self._turns = 0
        self._over = threading.Event()
        self.bitten = False

    def turned(self) -> None:
        """Note that the watch is alive."""
        self._turns += 1

    def run(self) -> None:
        seen, still = self._turns, 0
        while not self._over.wait(TICK_S):
            seen, still = self._turns, still + 1 if seen == self._turns else 0
            if still >= PATIENCE:
                self.bitten = True
                log.critical("%s was killed: its watch had not turned for %d s", self._run_id, still * TICK_S)
                self._end()
                return

    def __enter__(self) -> Watchdog:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
