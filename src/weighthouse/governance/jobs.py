"""governance's timer: it places the release holds for which enough members have called, should any be missing."""

from __future__ import annotations

from weighthouse.core.clock import SECOND
from weighthouse.core.jobs import Timer
from weighthouse.governance.api import bind_calls

timers: tuple[Timer, ...] = (Timer(name="governance-calls", every_ms=5 * SECOND, run=bind_calls),)
