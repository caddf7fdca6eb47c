"""Time, injected. Guards grant ends from clocks that lie.

All times are `Millis`: whole milliseconds of UTC since 1970, stored as integers. A decision never reads the machine's
clock by itself: it takes `unit.now`, which the high-water rule has already checked.
"""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

Millis = int

SECOND: Millis = 1_000
MINUTE: Millis = 60 * SECOND
HOUR: Millis = 60 * MINUTE
DAY: Millis = 24 * HOUR

STEP_BACK_TOLERANCE: Millis = 2 * SECOND
LEAP_TOLERANCE: Millis = 5 * MINUTE


# Linux leaves sleep out of CLOCK_MONOTONIC; elsewhere that clock is what there is.
_SINCE_START = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_start() -> float:
    """Seconds since the machine was started, its sleep included; no wall clock moves it."""
    return time.clock_gettime(_SINCE_START)


class Clock(Protocol):
    """Wall time in UTC milliseconds, and a monotonic reading of the same unit for spotting leaps."""

    def now(self) -> Millis: ...

    def monotonic(self) -> Millis: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> Millis:
        """Time since the machine was started, its sleep included: a laptop that slept has not leapt in time."""
        return time.clock_gettime_ns(_SINCE_START) // 1_000_000


class ManualClock:
    """A clock that a test moves by hand; wall and monotonic time move together unless `set` is used."""

    def __init__(self, start: Millis = 1_790_000_000_000) -> None:
        self._now = start
        self._monotonic = 0

    def now(self) -> Millis:
        return self._now

    def monotonic(self) -> Millis:
        return self._monotonic

    def advance(self, by: Millis) -> None:
        """Let `by` milliseconds pass on both readings."""
        self._now += by
        self._monotonic += by

    def set(self, now: Millis) -> None:
        """Step the wall clock only, as NTP or an attacker with root does."""
        self._now = now


class Reading(NamedTuple):
    """One judged reading: the time to use, and what was wrong with the clock, if anything."""

    now: Millis
    stepped_back: bool
    leapt_ahead: bool


def judge(wall: Millis, high_water: Millis, expected: Millis | None) -> Reading:
    """Apply the high-water rule to one reading of the wall clock.

    `high_water` is the largest time ever used; `expected` is where the monotonic clock says the wall clock should be,
    None when unknown. A wall clock behind the high-water mark by more than 2 s is not believed: the mark is used, so
    that no ended grant revives. One ahead of the monotonic clock by more than 5 min is used (ends come early, which
    is the safe side) but marked, so that no new grant is issued from it.
    """
    leapt = expected is not None and wall - expected > LEAP_TOLERANCE
    stepped = high_water - wall > STEP_BACK_TOLERANCE
    return Reading(now=max(wall, high_water), stepped_back=stepped, leapt_ahead=leapt)
