"""The weeks in which everything of somebody was stopped. Guards keys that they let count from thieves and stops.

What a person vouched for lives as long as a key. A stop of everything of theirs is for what they vouched for in the
week of it and the one before, so that it neither spares a thief who signed out first, nor silences every key that
they ever let count. Each week is remembered by itself: no later stop forgets an earlier one.
"""

from __future__ import annotations

from weighthouse.core.clock import DAY, Millis
from weighthouse.core.work import System, Unit
from weighthouse.identity.api import moments
from weighthouse.identity.api.sealing import memory

WEEK: Millis = 7 * DAY


def remember(unit: Unit, person: str) -> None:
    """Remember that everything of a person is stopped now; in a doubtful clock, by what was sure of it too."""
    for week in _weeks(unit.now) | _weeks(unit.sure):
        moments.remember(unit, _name(person, week))


def learn(system: System, person: str, at: Millis) -> None:
    """Remember what another server said at that time."""
    for week in _weeks(at):
        memory(system).raise_version(_name(person, week), at)


def stopped(unit: Unit, person: str, at: Millis) -> bool:
    """Whether a stop is for what a person vouched for at that time."""
    return moments.stopped(unit, _name(person, at // WEEK), at)


def is_kept(unit: Unit, person: str, stop: Millis) -> bool:
    """Whether a stop of that moment was said since weeks are remembered."""
    return memory(unit.system).version(_name(person, stop // WEEK)) > 0


def lately(unit: Unit, at: Millis) -> bool:
    """Whether a stop that was said now would be for what was vouched for at that time."""
    return at // WEEK in _weeks(unit.now)


def _weeks(until: Millis) -> frozenset[int]:
    return frozenset({until // WEEK - 1, until // WEEK})


def _name(person: str, week: int) -> str:
    return f"disowned {person} in {week}"
