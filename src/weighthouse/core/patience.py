"""A connection to PostgreSQL that waits for so long and no longer. Guards requests from a database that hangs.

The server's own limits end a slow statement, but not one of a server that is stopped, cut off or swapped out: nothing
comes, and nothing ends the wait for it. So every wait has an end on this side too, and the connection ends with it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

PATIENCE_S = 20.0
"""Longer than the server's own `statement_timeout`, which says more."""

T = TypeVar("T")


class Patient(psycopg.Connection[Any]):
    """A connection whose every wait ends; afterwards it is closed, for nobody knows what it would still say."""

    patience_s = PATIENCE_S
    agreed_with = 0
    """The server process that the settings of this connection were made in; 0 before they were."""
    agreed_on = ""
    """Those settings, and a random one that no other connection has."""

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for what `gen` asks for; raises OperationalError, the connection closed, when nothing came in time."""
        return super().wait(self._bounded(gen), interval, timeout)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        end = time.monotonic() + self.patience_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    gen.close()
                    self.pgconn.finish()
                    raise psycopg.OperationalError("nothing came within the deadline of this client")
                wanted = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result
