"""PostgreSQL: the first and the last that the log tells of a server. Guards against one that the others do not know.

Each has a heartbeat in the log before it serves, and a last word when all that it wrote is there. Who dies without
one is spoken for by the next process over its folder; where the machine is gone for good, by an operator.
"""

from __future__ import annotations

import contextlib
import time

from weighthouse.audit.api import appending, arrears, lanes, sequencing
from weighthouse.audit.api.confirming import LONGEST
from weighthouse.audit.events import ServerForgotten, ServerLeft
from weighthouse.audit.rules import lanes as rules
from weighthouse.audit.store import outbox
from weighthouse.audit.store import servers as store
from weighthouse.core import visible
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read

JOIN_S, LEAVE_S = 30.0, 10.0
"""How long the log may take to tell of a server before it serves, and of the last that it wrote before it stops."""


def join(system: System) -> None:
    """Return once the log tells of this server, so that any other, however new, waits for what it says.

    Raises `audit.not_joined` if the log does not take its first heartbeat.
    """
    if system.database.dialect != "postgresql":
        return
    appending.heartbeat(system)
    if not _settled(system, JOIN_S):
        raise Unavailable(
            "audit.not_joined",
            f"The log did not take the first heartbeat of this server within {JOIN_S:.0f} s: no other knows of it.",
            "Find out why the sequencer stands still: it logs the reason on the server that leads. Then start again.",
        )


def leave(system: System) -> None:
    """Say the last word if all that this process wrote is in the log; else the next one over its folder does."""
    with read(system) as unit:
        owes = arrears.owed(unit)
    if not owes and _settled(system, LEAVE_S):
        end(system, lanes.writer(system))
        with contextlib.suppress(WeighthouseError):  # the next server takes it if this one does not lead
            sequencing.sequence(system)


def end(system: System, writer: str) -> None:
    """Say the last word of a process whose lines are all in the log, if it ever served and the word is not said."""
    with begin(system, SYSTEM) as unit:
        known, lane = lanes.known(unit), rules.left(writer)
        if writer in known.serving() and lane not in outbox.lanes(unit.conn, [lane]):
            lanes.end(unit, writer)
            appending.append(unit, ServerLeft(server=writer, folder=lanes.memory(system).folder()))


def forget_server(unit: Unit, name: str, *, by: str, reason: str) -> None:
    """Wait no more for a server whose machine is gone for good, on the word of an operator.

    Raises `audit.no_such_server`, and `audit.bad_reason` or `core.hidden_text` for the reason.
    """
    visible.check(reason, "The reason")
    text = visible.cleaned(reason)
    if not 3 <= len(text) <= LONGEST:
        raise Invalid(
            "audit.bad_reason",
            f"A reason has 3 to {LONGEST} characters; it stays in the log.",
            "Say what happened to its machine, and who decided.",
        )
    known = lanes.known(unit)
    if known.has_left(name) or (name not in known.serving() and store.find(unit.conn, name) is None):
        raise NotFound(
            "audit.no_such_server",
            f"Nobody waits for a server {name}: the log and the database tell of none that has not left.",
            "Copy the name from `weighthouse doctor` or from the line audit.FellBehind.",
        )
    store.drop(unit.conn, name)
    lanes.end(unit, name)
    appending.append(unit, ServerForgotten(server=name, by=by, reason=text))


def _settled(system: System, seconds: float) -> bool:
    """Whether every line of this process comes to the log in time; it sequences them itself if it may."""
    until = time.monotonic() + seconds
    while True:
        with read(system) as unit:
            if not lanes.due(system, lanes.known(unit)):
                return True
        if time.monotonic() > until:
            return False
        if not sequencing.sequence(system):
            time.sleep(0.05)
