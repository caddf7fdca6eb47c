"""The log's own timers: heartbeat, sequencer, witnesses. Guards against silence and entries that wait for ever."""

from __future__ import annotations

import logging
import time
from weakref import WeakKeyDictionary

from weighthouse.audit import api
from weighthouse.audit.api import appending
from weighthouse.core.clock import SECOND
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, read

logger = logging.getLogger("weighthouse.audit")
LOOK_S = 30
_due: WeakKeyDictionary[System, float] = WeakKeyDictionary()


def timers(system: System) -> list[Timer]:
    """Return what the job loop must run for the log on this database."""
    settings = system.settings
    found = [Timer("audit.heartbeat", min(settings.integer("log.heartbeat_s"), LOOK_S) * SECOND, beat)]
    found.append(Timer("audit-check", 5 * SECOND, api.look))
    found.append(Timer("audit-index", SECOND, api.keep_up))
    found.append(Timer("audit-clock", 2 * SECOND, api.heed_confirmation))
    if settings.text("log.witnesses"):
        found.append(Timer("audit.witnesses", settings.integer("log.witness_s") * SECOND, api.ask_witnesses))
    if system.database.dialect == "postgresql":
        found.append(Timer("audit.sequencer", settings.integer("log.sequence_ms"), drain))
        found.append(Timer("audit.backlog", 10 * SECOND, watch_backlog))
        found.append(Timer("audit-lines", SECOND, api.watch_lines))
        found.append(Timer("audit-servers", api.SAY_EVERY, api.say))
        found.append(Timer("audit-answers", SECOND // 2, api.answer))
    return found


def beat(system: System) -> None:
    """Append a heartbeat if one is due; looked at often, for a machine that slept must not be silent for long."""
    every, now = system.settings.integer("log.heartbeat_s"), time.monotonic()
    with read(system) as unit:
        late = api.overdue(unit)
    if late or now >= _due.get(system, 0.0):
        api.heartbeat(system)
        _due[system] = now + every - LOOK_S / 2 if every > LOOK_S else now


def drain(system: System) -> None:
    """Sequence batch after batch until nothing waits that may be taken."""
    while api.sequence(system):
        pass


def watch_backlog(system: System) -> None:
    """Raise the alarm while committed entries wait for a minute or longer."""
    with read(system) as unit:
        backlog = api.backlog(unit)
    if backlog.oldest > appending.LATE:
        logger.critical(
            "%d log entries wait for the sequencer, the oldest for %d s: grave changes are refused until it has them",
            backlog.waiting,
            backlog.oldest // SECOND,
        )
