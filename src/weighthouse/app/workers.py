"""What runs beside the requests: followers of the log, timers, and on PostgreSQL the one sequencer.

Guards against work that nobody does: followers wake after every commit and skip nothing; a failing one is logged and
tried again, and holds up no other.
"""

from __future__ import annotations

import logging
import threading

from weighthouse.app import declared
from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.jobs import Loop
from weighthouse.core.work import System

log = logging.getLogger("weighthouse.workers")
IDLE_S = 0.5


class Workers:
    """Threads of one server. `settle` lets tests and the demo wait until every follower has seen everything."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._followers = declared.followers()
        self._stop = threading.Event()
        self._pumping = threading.Lock()
        self._loop = Loop(system, declared.timers(system))
        self._thread = threading.Thread(target=self._follow, name="followers", daemon=True)

    def start(self) -> None:
        self._loop.start()
        self._thread.start()

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._system.changed.wait(IDLE_S)
            self._system.changed.clear()
            self.settle()

    def settle(self) -> None:
        """Pump every follower until none has anything new."""
        with self._pumping:
            while not self._stop.is_set() and self._pump_all():
                pass

    def _pump_all(self) -> int:
        return sum(self._pump(follower) for follower in self._followers)

    def _pump(self, follower: audit.Follower) -> int:
        try:
            return audit.pump(self._system, follower)
        except WeighthouseError as error:
            log.warning("follower %s: %s (%s)", follower.name, error.message, error.code)
        except Exception:
            log.exception("follower %s failed and will be tried again", follower.name)
        return 0

    def wait(self, seconds: float) -> None:
        """Wait until the server stops, or for some seconds."""
        self._stop.wait(seconds)

    def stop(self) -> None:
        """End every thread."""
        self._stop.set()
        self._system.changed.set()
        self._thread.join(timeout=10)
        self._loop.stop()
