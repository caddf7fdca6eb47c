"""PostgreSQL: whoever starts is heard by each other server before it serves. Guards a no from being said to nobody.

Attack: give a server that starts a copy of the database, with all that the log told so far. Its heartbeat stands in
the copy, it waits for a minute for the others as for anybody, and what it refuses meanwhile is known to none of them;
they wait for nobody, for they never heard that it started. So it serves only once each server of which its log tells
has answered what it said, and none answers but who reads that very log.
"""

from __future__ import annotations

import logging
import time

from weighthouse.audit.api import sequencing, servers
from weighthouse.audit.api.missing import watch_lines
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, read

logger = logging.getLogger("weighthouse.audit")
MEET_S, AGAIN_S, TOLD_S = 30.0, 0.25, 5.0
"""How long the others may take to answer; how often they are asked; and after how long somebody at a terminal is told
why it takes so long."""


def meet(system: System) -> None:
    """Return once every server of which the log tells has answered this one; the others may be starting as well.

    Raises `audit.not_answered` and `audit.another_log`.
    """
    if system.database.dialect != "postgresql":
        return
    began, told = time.monotonic(), False
    while True:
        servers.say(system)
        watch_lines(system)  # a process that died over this folder has its last word, and answers no more
        sequencing.sequence(system)
        with read(system) as unit:
            silent = servers.of(system).unanswered(unit)
        if not silent:
            return
        for other in filter(servers.of(system).elsewhere, silent):
            raise Unavailable(
                "audit.another_log",
                f"The server {other} reads another log, which the one in this database does not continue.",
                "Forget no server. Find out who copied or set back a database, and which is the lab's; then start "
                "this server over that one.",
            )
        if time.monotonic() - began > MEET_S:
            raise Unavailable(
                "audit.not_answered",
                f"The server {silent[0]} did not answer for {MEET_S:.0f} s: it would not hear what is refused here.",
                f"See that it runs, over this database, and start this one again. If its machine is gone for good: "
                f"`weighthouse audit forget-server {silent[0]} --reason …`.",
            )
        if not told and time.monotonic() - began > TOLD_S:
            told = True
            logger.warning("waits for the server %s to answer before anything is served", silent[0])
        time.sleep(AGAIN_S)
