"""The log's own timers: heartbeat, sequencer, witnesses. Guards against silence and entries that wait for ever."""

from __future__ import annotations

import logging

from weighthouse.audit import api
from weighthouse.audit.model import setting
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, read

logger = logging.getLogger("weighthouse.audit")
LATE = MINUTE


def timers(system: System) -> list[Timer]:
    """Return what the job loop must run for the log on this database."""
    heartbeat_s = int(setting(system.settings, "log.heartbeat_s"))  # type: ignore[arg-type]
    witness_s = int(setting(system.settings, "log.witness_s"))  # type: ignore[arg-type]
    found = [Timer("audit.heartbeat", heartbeat_s * SECOND, api.heartbeat)]
    if setting(system.settings, "log.witnesses"):
        found.append(Timer("audit.witnesses", witness_s * SECOND, api.ask_witnesses))
    if system.database.dialect == "postgresql":
        every = int(setting(system.settings, "log.sequence_ms"))  # type: ignore[arg-type]
        found.append(Timer("audit.sequencer", every, drain))
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
    if backlog.oldest > LATE:
        logger.critical(
            "%d log entries wait for the sequencer, the oldest for %d s: high-risk actions must wait for them",
            backlog.waiting,
            backlog.oldest // SECOND,
        )
