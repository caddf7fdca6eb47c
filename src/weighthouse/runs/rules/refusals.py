"""How often a run is refused by the control plane before it is answered no more. Guards the log from being filled.

Each refusal that names somebody and something is a line that stays for ever, and a run can ask a hundred times a
second. So the first ones of a run are named; beyond them nothing is asked of any room, the run is ended, and one line
says how many there were. Who is told when to come again was not refused: a run of many processes waits for itself
whenever they save together, for as long as it lives.
"""

from __future__ import annotations

from weighthouse.core.errors import TooMany, Unavailable

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

    def answered(self, status: int, *, told_to_wait: bool = False) -> None:
        """Count one answer by its HTTP status. Whoever answers `Retry-After` counts those who come sooner."""
        if status >= 400 and status not in OWN_FAULTS and not told_to_wait:
            self.count += 1


def too_often() -> TooMany:
    """What a run is told that was refused too often: nobody is asked, and nothing it sends is read."""
    return TooMany("runs.too_many_refusals", "The run was refused too often.", "See the run's page; it is ended.")


def bodies_full(held: int, most: int) -> TooMany:
    """What a run is told that has begun more than the server keeps for one run."""
    return TooMany(
        "runs.bodies_full",
        f"Requests of this run that have no answer yet hold {held} bytes; {most} are the most.",
        "End the requests that were begun before, and wait for their answers.",
    )


def gates_busy() -> Unavailable:
    """What a run is told while all runs together hold what the server takes: it counts against nobody."""
    return Unavailable(
        "runs.gates_busy", "The requests of all runs hold all that the server takes.", "Try again soon."
    )
