"""How a run is asked to end: SIGTERM, a while to save, SIGKILL. Guards what was computed, and the end from delay.

Only ends that accuse nobody are gentle: a person's stop, the end of time, the server's own end. What lost its
access, was held or cut ends at once. The while is measured by the machine's own monotonic clock, which nobody sets;
before the end of time it lies inside the time that was granted.
"""

from __future__ import annotations

import time

from weighthouse.core.clock import SECOND, Millis
from weighthouse.runs.ports import Handle

SHARE = 4  # of a short run, no more than one part in four is grace
KILLED = 128 + 9


class Ending:
    """The end of one run; `ask` may be called again and again."""

    def __init__(self, handle: Handle, grace_s: int, lasts: Millis) -> None:
        self._handle = handle
        self._grace_s = grace_s
        self._asked: float | None = None
        self.before: Millis = min(grace_s * SECOND, max(0, lasts) // SHARE)

    def ask(self) -> None:
        """Ask the workload to end, once."""
        if self._asked is None:
            self._asked = time.monotonic()
            self._handle.terminate()

    def over(self) -> bool:
        """Return whether it was asked and has had its while."""
        return self._asked is not None and time.monotonic() - self._asked >= self._grace_s

    def told(self, status: int) -> str:
        """Say how the code ended; empty when there is nothing to say beyond that it ended well."""
        if self._asked is None:
            return f"the code ended with exit status {status}" if status else ""
        waited = time.monotonic() - self._asked
        if status == KILLED and self.over():
            return f"killed (exit status {status}): it had not ended {waited:.0f} s after SIGTERM"
        return f"the code ended with exit status {status}, {waited:.1f} s after SIGTERM"
