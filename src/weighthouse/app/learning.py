"""Learns from the log, all the time and before anything is served, what any server of this lab has refused.

Guards against a second server that says yes because it never heard the no. How far it has come is kept beside the
memories that it fills, never in the database; when it cannot read the log, decisions are soon refused.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from weighthouse.access import api as access
from weighthouse.app import declared
from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System

log = logging.getLogger("weighthouse.learning")
EVERY_S = 0.25
DOUBT_S = 10.0


class Learning:
    """One thread that reads the log to its end again and again; `start` returns when it has reached it once."""

    def __init__(self, system: System, kept: Path) -> None:
        self._system, self._kept = system, kept
        self._learners = declared.learners()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="learning", daemon=True)
        self.place = self._recall()

    def _recall(self) -> int:
        try:
            text = self._kept.read_text("ascii").strip()
        except FileNotFoundError:
            return 0
        return int(text) if text.isdigit() else 0  # from the beginning again: that is slow, and never wrong

    def catch_up(self) -> None:
        """Learn to the end of the log; raise what keeps the log from being read."""
        place = self.place
        while (after := audit.learn(self._system, self.place, self._learners)) != self.place:
            self.place = after
        if self.place != place:
            draft = self._kept.with_suffix(".new")
            draft.write_text(f"{self.place}\n", "ascii")
            draft.replace(self._kept)
        access.doubt_after(self._system, DOUBT_S)

    def start(self) -> Learning:
        self.catch_up()
        self._thread.start()
        return self

    def _go_on(self) -> None:
        told = ""
        while not self._stop.wait(EVERY_S):
            try:
                self.catch_up()
                told = ""
            except WeighthouseError as error:
                if told != error.code:
                    log.critical("cannot learn what was refused, and soon decides no more: %s", error.message)
                told = error.code
            except Exception:
                log.exception("learning from the log failed and will be tried again")

    def stop(self) -> None:
        """End the thread; what this process then decides, it decides by what it knows."""
        self._stop.set()
        self._thread.join(timeout=10)
        access.doubt_after(self._system, float("inf"))
