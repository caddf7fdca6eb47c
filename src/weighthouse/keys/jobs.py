"""Rotation by the clock. Guards against a KEK that wraps more than it should because nobody remembered it."""

from __future__ import annotations

import logging

from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, Millis
from weighthouse.core.errors import Denied, Unavailable
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, begin
from weighthouse.keys import api
from weighthouse.keys.model import KekInfo
from weighthouse.keys.ports import KeyService

log = logging.getLogger("weighthouse.keys")
ROTATE_EVERY: Millis = 90 * DAY


def rotate_due(system: System) -> int:
    """Rotate each KEK whose current version is older than 90 days; return how many. Repeating it changes nothing."""
    return sum(_rotated(system, kek) for kek in system.part(KeyService).describe() if not kek.destroyed)


def _rotated(system: System, kek: KekInfo) -> bool:
    """Rotate one KEK if it is due; one that cannot be, for it is behind the log, keeps none of the others."""
    try:
        with begin(system, SYSTEM) as unit:
            due = unit.now - kek.made >= ROTATE_EVERY
            if due:
                api.rotate(unit, SYSTEM, kek.name)
    except (Denied, Unavailable) as error:
        log.warning("rotation of %s: %s (%s)", kek.name, error.message, error.code)
        return False
    return due


TIMERS = (Timer("keys-rotate", HOUR, rotate_due),)
