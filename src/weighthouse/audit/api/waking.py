"""How long this process has been awake, by its own ticks. Guards what is late from whoever decides who can ask.

A machine or a process that slept has heard nobody, and nobody is to blame, so that time counts for nothing. Attack:
lock what is asked, for most of every half minute, and a time in which nothing could be asked looks like sleep. So
sleep is a time without ticks, and a tick asks no database: one comes every second from a thread of its own, and one
with every attempt to ask, answered or not.

Attack: let the process run for a moment every half minute, so that all its time is sleep. So whoever has slept knows
nothing of others until they have answered what it said since.
"""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.work import System

ASLEEP: Millis = 20 * SECOND
"""A time without ticks that is longer than this was sleep."""
TICK_S = 1.0


class Waking:
    """The waking time of one process: since the machine's start, less what it slept; `woke` is its newest waking."""

    def __init__(self) -> None:
        self.ticked: Millis | None = None
        self.woke: Millis | None = None
        self._slept: Millis = 0
        self._lock = threading.Lock()

    def tick(self, now: Millis) -> Millis:
        """Note that this process is awake, and return its waking time."""
        with self._lock:
            now = max(now, self.ticked or now)
            if self.ticked is not None and now - self.ticked > ASLEEP:
                self._slept += now - self.ticked
                self.woke = now - self._slept
            self.ticked = now
            return now - self._slept


_waking: WeakKeyDictionary[System, Waking] = WeakKeyDictionary()


def of(system: System) -> Waking:
    """Return what this process has counted."""
    return _waking.setdefault(system, Waking())


def awake(system: System) -> Millis:
    """Tick, and return for how long this process has been awake."""
    return of(system).tick(system.clock.monotonic())


class Ticking:
    """Ticks until it is stopped, whatever the database does meanwhile."""

    def __init__(self, system: System) -> None:
        self._system, self._stop = system, threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="waking", daemon=True)

    def start(self) -> None:
        awake(self._system)
        self._thread.start()

    def _go_on(self) -> None:
        while not self._stop.wait(TICK_S):
            awake(self._system)

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
