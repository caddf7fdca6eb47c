"""The thread that keeps one way fed. Guards a run's connections from waiting for whatever else its runner does.

It settles at every poll, and at once when the forwarder has news. If this thread dies or hangs, nobody feeds the
forwarder, which then stops by itself.
"""

from __future__ import annotations

import logging
import threading

from weighthouse.core.work import System
from weighthouse.egress.api.ways import Way, settle

log = logging.getLogger("weighthouse.egress")


class Feeder(threading.Thread):
    """Feeds `way` until it is cut or `stop` is called."""

    def __init__(self, system: System, way: Way) -> None:
        super().__init__(name=f"feed-{way.run[-8:]}", daemon=True)
        self._system = system
        self._way = way
        self._stopped = threading.Event()

    def run(self) -> None:
        poll = self._system.settings.integer("egress.poll_ms")
        while not self._stopped.is_set() and settle(self._system, self._way):
            self._way.handle.wait(poll)

    def starve(self) -> None:
        """End the feeding and return at once; what is being settled is finished, the forwarder stops by itself."""
        self._stopped.set()

    def stop(self) -> None:
        """End the feeding; what is being settled is finished first."""
        self.starve()
        self.join(timeout=30)
