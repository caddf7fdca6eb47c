"""What egress does by itself: drops ledger rows that no window reaches. Enforcement never waits for it."""

from __future__ import annotations

from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import HOUR
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, begin
from weighthouse.egress import api


def _tidy(system: System) -> None:
    with begin(system, SYSTEM) as unit:
        api.tidy(unit)


timers: tuple[Timer, ...] = (Timer("egress.tidy", HOUR, _tidy),)
