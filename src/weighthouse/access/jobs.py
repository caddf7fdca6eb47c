"""access's timers: one writes down ends that are in force, one closes every release while the log is in doubt.

Nothing depends on the first, for a decision reads the end itself. What the second finds is found again at every turn.
"""

from __future__ import annotations

from weighthouse.access.api import close_on_doubt, tidy
from weighthouse.access.api.learning import KINDS, learn
from weighthouse.audit.api import Learner
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import MINUTE, SECOND, Millis
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, retry

BATCH = 500
DOUBT: Millis = 5 * SECOND
"""How soon a log that is found contradicted closes every release."""


def run(system: System) -> int:
    """Mark what time has ended, batch by batch; return how many rows were marked."""
    total = 0
    while True:
        done = retry(system, SYSTEM, lambda unit: tidy(unit, BATCH))
        total += done
        if done < BATCH:
            return total


learners: tuple[Learner, ...] = (Learner(KINDS, learn),)
timers: tuple[Timer, ...] = (
    Timer(name="access-tidy", every_ms=MINUTE, run=run),
    Timer(name="access-doubt", every_ms=DOUBT, run=close_on_doubt),
)
