"""Which lines this process knows to be committed. Guards nothing alone: a restart forgets, the file does not."""

from __future__ import annotations

import threading

from weighthouse.audit.model import Acknowledged, Gap
from weighthouse.core.clock import Millis
from weighthouse.core.ids import new_id


class ProcessLines:
    """The memory of acknowledged lines, in this process only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acknowledged: dict[str, Acknowledged] = {}
        self._lost: list[Gap] = []
        self._name = new_id("fol")

    def acknowledge(self, lane: str, number: int, at: Millis) -> None:
        with self._lock:
            self._acknowledged[lane] = Acknowledged(lane, number, at)

    def acknowledged(self) -> list[Acknowledged]:
        with self._lock:
            return list(self._acknowledged.values())

    def retire(self, lane: str) -> None:
        with self._lock:
            self._acknowledged.pop(lane, None)

    def folder(self) -> str:
        return self._name

    def left_behind(self) -> list[tuple[str, list[Acknowledged]]]:
        return []

    def is_own(self, name: str) -> bool:
        """Nothing was left behind."""
        return False

    def forget(self, name: str) -> None:
        """Nothing was left behind."""

    def lose(self, gap: Gap) -> None:
        with self._lock:
            self._lost.append(gap)

    def lost(self) -> tuple[Gap, ...]:
        with self._lock:
            return tuple(self._lost)

    def forgive(self) -> None:
        with self._lock:
            self._lost.clear()
