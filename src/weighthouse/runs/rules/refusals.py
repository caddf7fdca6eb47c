"""How often a run is refused by the control plane before it is answered no more. Guards the log from being filled.

Each refusal that names somebody and something is a line that stays for ever, and a run can ask a hundred times a
second. So the first ones of a run are named; beyond them nothing is asked of any room, the run is ended, and one line
says how many there were.
"""

from __future__ import annotations

OWN_FAULTS = frozenset({503})  # the server's, which a program rightly tries again


class Refusals:
    """The refusals of one run. Counted by the one thread that answers it; read by others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    @property
    def spent(self) -> bool:
        """Whether the run is to be answered no more."""
        return self.count >= self._most

    def answered(self, status: int) -> None:
        """Count one answer by its HTTP status."""
        if status >= 400 and status not in OWN_FAULTS:
            self.count += 1
