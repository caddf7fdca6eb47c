"""For how long something may be refused, or owed, that this server does not know. Guards every decision from it.

Whatever keeps a no on its way counts alike: lines that wait for the sequencer, a server that is not heard or whose
lines do not come, a no that is kept here and owed to the log, and followers that do not take back what the log tells
them to. Whoever closes on it says so once, with a line of the log, and opens when it is over.
"""

from __future__ import annotations

import contextlib
import logging
from typing import NamedTuple

from weighthouse.audit.api import servers, standing
from weighthouse.audit.api.appending import append
from weighthouse.audit.api.arrears import owed
from weighthouse.audit.api.waiting import watch
from weighthouse.audit.api.waking import awake
from weighthouse.audit.events import FellBehind
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, begin, read

logger = logging.getLogger("weighthouse.audit")


class Behind(NamedTuple):
    """For how long, 0 if not at all, and what the reason is."""

    since: Millis
    why: str


def behind(system: System) -> Behind:
    """Return for how long this server has not known all that was said no to, or has not acted on it."""
    awake(system)  # the attempt counts, answered or not
    with read(system) as unit:
        found = [Behind(age, f"the follower {name} stands still") for name, age in standing.standing(unit)[:1]]
        found.append(Behind(owed(unit), "the log does not take what is owed to it"))
        if system.database.dialect == "postgresql":
            found += [Behind(age, f"the server {name} is not heard") for name, age in servers.unheard(unit)[:1]]
            found.append(Behind(watch(system).look(unit)[1], "lines wait for the log's sequencer"))
    return max(found, key=lambda one: one.since, default=Behind(0, ""))


def tell_behind(system: System, found: Behind) -> None:
    """Leave one line that this server decides no more; it reaches the log when that takes lines again."""
    logger.critical("%s, so nobody decides until what was refused is known and done", found.why)
    with contextlib.suppress(WeighthouseError), begin(system, SYSTEM) as unit:
        append(unit, FellBehind(why=found.why, seconds=found.since // SECOND))
