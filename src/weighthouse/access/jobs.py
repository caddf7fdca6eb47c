"""access's timer: writes down ends that are in force. Nothing depends on it; a decision reads the end itself."""

from __future__ import annotations

from weighthouse.access.api import tidy
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import MINUTE
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, retry

BATCH = 500


def run(system: System) -> int:
    """Mark what time has ended, batch by batch; return how many rows were marked."""
    total = 0
    while True:
        done = retry(system, SYSTEM, lambda unit: tidy(unit, BATCH))
        total += done
        if done < BATCH:
            return total


timers: tuple[Timer, ...] = (Timer(name="access-tidy", every_ms=MINUTE, run=run),)
