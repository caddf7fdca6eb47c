"""identity's timer: writes down ends that are already in force, and forgets what may no longer be kept."""

from __future__ import annotations

from weighthouse.core.clock import MINUTE
from weighthouse.core.jobs import Timer
from weighthouse.identity.api import tidy

timers: tuple[Timer, ...] = (Timer(name="identity-tidy", every_ms=MINUTE, run=tidy),)
