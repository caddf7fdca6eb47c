"""What the clock does to KEKs: rotates them, so that none wraps more than it should because nobody remembered it, and
destroys what the log says is destroyed, so that no kill and no key file put back keeps it."""

from __future__ import annotations

import logging

from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, MINUTE, Millis
from weighthouse.core.errors import Denied, Unavailable
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, begin, read
from weighthouse.keys import api
from weighthouse.keys.model import KekInfo
from weighthouse.keys.ports import KeyService

log = logging.getLogger("weighthouse.keys")
ROTATE_EVERY: Millis = 90 * DAY


def rotate_due(system: System) -> int:
    """Rotate each KEK whose current version is older than 90 days; return how many. Repeating it changes nothing."""
    return sum(_rotated(system, kek) for kek in _living(system))


def _living(system: System) -> list[KekInfo]:
    with read(system, SYSTEM) as unit:
        return [kek for kek in api.keks(unit, SYSTEM) if not kek.destroyed]


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


def mend(system: System) -> int:
    """Destroy what is owed, at the start and every minute; return how many KEKs went. Their lines are in the log."""
    with read(system) as unit:
        owed = api.owed(unit)
    for name in owed:
        system.part(KeyService).destroy(name)
        log.warning("the key of %s was destroyed, and lay in the key service still; it is destroyed now", name)
    return len(owed)


TIMERS = (Timer("keys-destroy", MINUTE, mend), Timer("keys-rotate", HOUR, rotate_due))
