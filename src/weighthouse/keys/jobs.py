"""Rotation by the clock. Guards against a KEK that wraps more than it should because nobody remembered it."""

from __future__ import annotations

from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, Millis
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, begin
from weighthouse.keys import api
from weighthouse.keys.ports import KeyService

ROTATE_EVERY: Millis = 90 * DAY


def rotate_due(system: System) -> int:
    """Rotate each KEK whose current version is older than 90 days; return how many. Repeating it changes nothing."""
    rotated = 0
    for kek in system.part(KeyService).describe():
        with begin(system, SYSTEM) as unit:
            if not kek.destroyed and unit.now - kek.made >= ROTATE_EVERY:
                api.rotate(unit, SYSTEM, kek.name)
                rotated += 1
    return rotated


TIMERS = (Timer("keys-rotate", HOUR, rotate_due),)
