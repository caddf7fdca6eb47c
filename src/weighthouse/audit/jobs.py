"""The log's own timers: heartbeat, sequencer, witnesses. Guards against silence and entries that wait for ever."""

from __future__ import annotations

import logging

from weighthouse.audit import api
from weighthouse.audit.api import appending
from weighthouse.core.clock import SECOND
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, read

logger = logging.getLogger("weighthouse.audit")


def timers(system: System) -> list[Timer]:
    """Return what the job loop must run for the log on this database."""
    settings = system.settings
    found = [Timer("audit.heartbeat", settings.integer("log.heartbeat_s") * SECOND, api.heartbeat)]
    found.append(Timer("audit-clock", 2 * SECOND, api.heed_confirmation))
    if settings.text("log.witnesses"):
        found.append(Timer("audit.witnesses", settings.integer("log.witness_s") * SECOND, api.ask_witnesses))
    if system.database.dialect == "postgresql":
        found.append(Timer("audit.sequencer", settings.integer("log.sequence_ms"), drain))
        found.append(Timer("audit.backlog", 10 * SECOND, watch_backlog))
    return found


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
