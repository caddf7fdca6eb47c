"""Learns from the log, all the time and before anything is served, what any server of this lab has refused.

Guards against a second server that says yes because it never heard the no, and against a memory that was lost or
restored from a backup. How far each memory has come stands in that memory, never in the database: an older file has
come less far, an empty one nowhere. When the log cannot be read, decisions are soon refused.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from weighthouse.access import api as access
from weighthouse.app import declared, memories
from weighthouse.audit import api as audit
from weighthouse.core.clock import SECOND, since_start
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System
from weighthouse.identity import api as identity

log = logging.getLogger("weighthouse.learning")
EVERY_S = 0.25
DOUBT_S = 10.0
BEHIND_S = 60.0  # as long as grave changes wait for the sequencer, and longer than another server takes to lead it
KEEP_AFTER = 1_000  # entries: that many are learnt again after a restart, which costs less than a line for each


class Learning:
    """One thread that reads the log to its end again and again; `start` returns when it has reached it once."""

    def __init__(self, system: System, kept: Path) -> None:
        self.system, self._kept = system, kept
        self._learners = declared.learners()
        self._stop, self._left = threading.Event(), BEHIND_S
        self._thread = threading.Thread(target=self._go_on, name="learning", daemon=True)
        self._ticking = audit.Ticking(system)
        self.place = self._marked = min(access.learnt(system), identity.learnt(system))

    def catch_up(self) -> None:
        """Learn to the end of the log; raise what keeps the log from being read.

        Attack: stall the sequencer, so that a revocation waits while the log ends before it and all looks learnt. So
        what is known is as fresh as the oldest line that waits. And lock the followers' table, so that what they take
        back stays: what the log tells is done no later than it is known.

        Attack: hold back an answer, or this process with an answer in its socket. So what was learnt is as fresh as
        the moment before it was asked for, however late the answer is.
        """
        asked = since_start()
        while (after := audit.learn(self.system, self.place, self._learners)) != self.place:
            self.place, asked = after, since_start()
        if not 0 <= self.place - self._marked < KEEP_AFTER:  # less than before: the log is a shorter one
            self._mark()
        found = audit.behind(self.system)
        left = BEHIND_S - found.since / SECOND
        access.doubt_after(self.system, max(0.0, min(DOUBT_S, left)), asked)
        if left <= 0 < self._left:
            audit.tell_behind(self.system, found)
        self._left = left

    def _mark(self) -> None:
        access.learnt_to(self.system, self.place)
        identity.learnt_to(self.system, self.place)
        self._marked = self.place

    def settle(self) -> None:
        """Let each memory say how far it has come: from now on one that says nothing was lost."""
        self._mark()
        memories.marked(self._kept)

    def start(self) -> Learning:
        self.catch_up()
        self.settle()
        self._ticking.start()
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
        self._ticking.stop()
        access.doubt_after(self.system, float("inf"))
