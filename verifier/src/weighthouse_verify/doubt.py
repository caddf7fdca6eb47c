"""What the log says against itself. Guards readers from a log that is whole and was proven not to be all of it.

While a witness contradicts a log, or after a fork was accepted, the server puts a hold of the kind `log` on the lab
and writes it down (`access.HoldPlaced`); two people who have looked lift it (`access.HoldLifted`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

MARK = b'"access.Hold'


class Doubts:
    """The holds of the kind `log` that stand at the end of what was noted, each with the entry that placed it."""

    def __init__(self) -> None:
        self._placed: dict[str, int] = {}
        self._lifted: set[str] = set()

    def note(self, first: int, entries: Iterable[bytes]) -> None:
        """Take in the entries of one bundle, of which the first has the index `first`."""
        for index, entry in enumerate(entries, first):
            if MARK not in entry:
                continue
            try:
                said = json.loads(entry.decode("utf-8"))
                kind, hold, of = said["kind"], str(said["data"]["hold"]), said["data"].get("kind")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            if kind == "access.HoldPlaced" and of == "log":
                self._placed[hold] = index
            elif kind == "access.HoldLifted":
                self._lifted.add(hold)

    def standing(self) -> list[tuple[int, str]]:
        """Return (entry, hold) of each that nobody lifted."""
        return sorted((index, hold) for hold, index in self._placed.items() if hold not in self._lifted)
