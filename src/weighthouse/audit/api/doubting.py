"""What speaks against this log now: a witness that saw another history, an accepted fork, a foreign schema.

Guards what the lab releases from a log that is proven not to be the whole truth. Doubts are found again and again,
not remembered: as long as their cause stands, they stand, whoever restarts or restores what.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from weighthouse.audit.api import lanes
from weighthouse.audit.api.finding import Lines
from weighthouse.audit.events import ForkAccepted
from weighthouse.audit.model import Doubt
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, read

if TYPE_CHECKING:
    from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit

_FORKS = Lines(ForkAccepted.KIND, by="")
UNREAD = "stored log"
"""The cause of a doubt about entries that are missing or false, so that nobody can say what the log tells."""
_lock = threading.Lock()
_stated: WeakKeyDictionary[System, dict[str, Doubt]] = WeakKeyDictionary()


def state(system: System, doubt: Doubt) -> None:
    """Take a doubt up until its cause is withdrawn: for whoever in this process finds the log contradicted."""
    with _lock:
        _stated.setdefault(system, {})[doubt.cause] = doubt


def withdraw(system: System, cause: str) -> None:
    """Forget a doubt whose cause is gone, as when the witness that refused has cosigned."""
    with _lock:
        _stated.get(system, {}).pop(cause, None)


def doubts(system: System) -> tuple[Doubt, ...]:
    """Return every doubt that stands: those stated in this process, and those the database itself shows."""
    with _lock:
        found = list(_stated.get(system, {}).values())
    with read(system) as unit:
        found += [*_foreign(unit), *_lost(unit)]
        try:
            found += _forks(unit)
        except WeighthouseError as error:
            if error.code != "audit.tampered":
                raise
            if not any(one.cause == UNREAD for one in found):  # the running check names it better
                found.append(Doubt(UNREAD, error.message, error.message, lasting=True))
    return tuple(found)


def _foreign(unit: Unit) -> list[Doubt]:
    what = unit.system.database.foreign(unit.conn)
    if not what:
        return []
    detail = f"the database is not as this software made it: {'; '.join(what)}"
    return [Doubt("schema", detail, detail, lasting=True)]


def _lost(unit: Unit) -> list[Doubt]:
    if unit.system.database.dialect != "postgresql":
        return []
    count = len(lanes.memory(unit.system).lost()) or lanes.known(unit).lost
    if not count:
        return []
    detail = "lines that were committed vanished before they reached the log"
    return [Doubt("lost lines", detail, detail, lasting=True)]


def _forks(unit: Unit) -> list[Doubt]:
    one = _FORKS.newest(unit)
    if one is None:
        return []
    detail = (
        f"entry {one.index}: a log of {one.data['signed_size']} entries was signed, and one of "
        f"{one.data['found_size']} was accepted in its place"
    )
    return [Doubt(f"fork {one.index}", one.leaf.hex(), detail)]
