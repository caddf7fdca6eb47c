"""Timers and leader leases with fencing numbers. Guards against two servers that both believe they lead.

A lease is a row with an expiry in database time; each new holder gets a larger fencing number, and every write of the
holder checks the number in its own transaction, so that a paused leader that wakes up late changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import msgspec

from weighthouse.core import disk, store
from weighthouse.core.clock import LEAP_TOLERANCE, Millis
from weighthouse.core.errors import Conflict, WeighthouseError
from weighthouse.core.work import System, Unit

log = logging.getLogger("weighthouse.jobs")


class Timer(msgspec.Struct, frozen=True):
    """Work that is due every `every_ms`; `run` opens its own unit and must be idempotent."""

    name: str
    every_ms: Millis
    run: Callable[[System], object]


def acquire(unit: Unit, name: str, holder: str, ttl: Millis, *, renew: bool = True) -> int | None:
    """Take or renew the lease `name` for `holder`; return its fencing number, or None while somebody else leads.

    Without `renew`, a lease that is held stays held only until it ends: for who has made no progress under it.
    """
    row = store.read_lease(unit.conn, name, lock=True)
    if row is None:
        store.write_lease(unit.conn, name, holder, 1, unit.now + ttl, new=True)
        return 1
    current, fencing, expires = row
    if current == holder and expires > unit.now and not renew:
        return fencing
    if current == holder and renew:
        store.write_lease(unit.conn, name, holder, fencing, unit.now + ttl, new=False)
        return fencing
    if unit.now < expires <= unit.now + ttl + LEAP_TOLERANCE:
        return None  # one that ends later than any right clock wrote was taken while a clock had leapt ahead
    store.write_lease(unit.conn, name, holder, fencing + 1, unit.now + ttl, new=False)
    return fencing + 1


def release(unit: Unit, name: str, fencing: int) -> None:
    """End the lease that has this fencing number, so that another holder can take it at once."""
    row = store.read_lease(unit.conn, name, lock=True)
    if row is not None and row[1] == fencing:
        store.write_lease(unit.conn, name, row[0], fencing, 0, new=False)


def fencing(unit: Unit, name: str) -> int:
    """Return the number of the lease `name`, 0 if nobody ever held it."""
    row = store.read_lease(unit.conn, name, lock=False)
    return row[1] if row else 0


def check_fencing(unit: Unit, name: str, fencing: int) -> None:
    """Raise `core.fenced_off` unless `fencing` is still the number of the lease; locks the row until commit."""
    row = store.read_lease(unit.conn, name, lock=True)
    if row is None or row[1] != fencing:
        raise Conflict(
            "core.fenced_off",
            f"Another server has taken over '{name}'; this one may no longer write for it.",
            "None is needed: the new leader goes on where this one stopped.",
        )


class Loop:
    """Runs timers and followers in threads of its own until `stop`; a failing run is logged and tried again."""

    def __init__(self, system: System, timers: list[Timer]) -> None:
        self._system = system
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._tick, args=(timer,), name=f"timer-{timer.name}", daemon=True)
            for timer in timers
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _tick(self, timer: Timer) -> None:
        while not self._stop.is_set():
            try:
                timer.run(self._system)
            except WeighthouseError as error:
                log.warning("%s: %s (%s)", timer.name, error.message, error.code)
            except Exception as error:
                told = disk.explained(error)  # a full disk is news for the operator, and no defect
                if told is None:
                    log.exception("%s failed and will be tried again", timer.name)
                else:
                    log.warning("%s: %s (%s)", timer.name, told.message, told.code)
            self._stop.wait(timer.every_ms / 1000)

    def stop(self) -> None:
        """Ask every thread to end and wait for it."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)
