"""How long. Guards against access without an end, absurd ends, and renewals that add up to for ever."""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.core.clock import MINUTE, Millis

SHORTEST: Millis = MINUTE
GAP: Millis = 15 * MINUTE  # a pause shorter than this does not break a chain of renewals


def within(duration: object, cap: Millis) -> bool:
    """Whether `duration` is a whole number of milliseconds from one minute to `cap`."""
    return type(duration) is int and SHORTEST <= duration <= cap


def chain_start(spans: Iterable[tuple[Millis, Millis]], now: Millis) -> Millis:
    """When the unbroken access that still holds at `now` began, given earlier (start, end) spans; `now` if none."""
    start = now
    for begin, end in sorted(spans, key=lambda span: span[1], reverse=True):
        if begin <= now and end + GAP >= start:
            start = min(start, begin)
    return start


def end_of(not_before: Millis, end: Millis, cap: Millis) -> Millis:
    """The end that counts: what was granted, or what today's cap leaves of it, whichever is sooner."""
    return min(end, not_before + cap)
