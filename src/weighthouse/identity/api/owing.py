"""A stop that is kept before its change is committed, and the line that it then owes. Guards both from parting.

Attack: lock a table, so that a freeze, a "this was not me" or the end of a stolen key fails at its row, and what
remembers it at this server alone is heard of nowhere else. So the stop is remembered with its line before any row is
written; if its change then fails, a timer does it again, once the database takes changes, and other servers hear.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.model import Owed

logger = logging.getLogger("weighthouse.identity")
FAILED = audit.OWED_WORDS[1]
PAY_AFTER: Millis = MINUTE // 2
E = TypeVar("E", bound=Event)
_AGAIN: dict[str, tuple[type[Event], Callable[[Unit, Event], None], frozenset[str]]] = {}
_LINES: dict[str, audit.Lines] = {}


def again(kind: type[E], act: Callable[[Unit, E], None], *, unsure: tuple[str, ...] = ()) -> None:
    """Let lines of a kind be owed: `act` does the whole change again and appends its line; `unsure` are the fields
    that nobody knows before the change."""
    _AGAIN[kind.KIND] = (kind, act, kind.PERSONAL | frozenset(unsure))  # type: ignore[assignment]
    _LINES[kind.KIND] = audit.Lines(kind.KIND)


def owe(unit: Unit, line: Event, *, of: str) -> None:
    """Keep what is about to be done to `of`, without the words of a person, until its change is committed."""
    kept = memory(unit.system)
    data = {**line.data(), **dict.fromkeys(line.PERSONAL, FAILED)}
    due = next((one for one in kept.owed() if one.kind == line.KIND and _same(one, data)), None)
    if due is None:  # said again while it is owed, it is owed once
        due = Owed(id=f"{line.KIND} {line.subject()} {unit.now}", kind=line.KIND, of=of, data=data, at=unit.now)
        kept.owe(due)
    id_ = due.id
    unit.when_over(lambda done: kept.paid(id_) if done else None)


def pay(system: System) -> int:
    """Do again what was remembered and not committed, each once; return how many. One that is younger than any change
    may take is left alone, and so is one whose line waits for the log."""
    if not memory(system).owed():
        return 0
    with read(system) as unit:
        late = [one for one in memory(system).owed() if unit.now - one.at > PAY_AFTER and not _waits(unit, one)]
    return sum(_pay(system, one) for one in late)


def _waits(unit: Unit, due: Owed) -> bool:
    return any(_same(due, data) for data in audit.on_its_way(unit, due.kind))


# Other servers hear of it only by the whole change, so until then it counts: after a minute nobody decides.
audit.count_owed(lambda system: [(one.id, one.at) for one in memory(system).owed()])


def _pay(system: System, due: Owed) -> bool:
    try:
        with begin(system, SYSTEM) as unit:
            done = _do(unit, due)
    except WeighthouseError as error:  # one that still cannot be done keeps the others from nothing
        logger.warning("%s is still owed: %s", due.id, error.code)
        return False
    memory(system).paid(due.id)
    return done


def _do(unit: Unit, due: Owed) -> bool:
    kind, act, _ = _AGAIN[due.kind]
    if _told(unit, due):
        return False
    act(unit, msgspec.convert(due.data, kind))
    logger.warning("%s could not be committed when it was said; it is written now", due.id)
    return True


def _told(unit: Unit, due: Owed) -> bool:
    """Whether the log has this very line since it was owed."""
    kind = _AGAIN[due.kind][0]
    lines = _LINES[due.kind].of(unit, msgspec.convert(due.data, kind).subject(), newest_first=True, limit=16)
    return any(one.at >= due.at and _same(due, one.data) for one in lines)


def _same(due: Owed, data: Mapping[str, Any]) -> bool:
    unsure = _AGAIN[due.kind][2]
    return all(data.get(name) == value for name, value in due.data.items() if name not in unsure)


def pay_first(unit: Unit, person: str) -> None:
    """Do now, in this unit, what is owed about a person: before somebody lets them in again, so that nothing of
    before comes back with them."""
    kept = memory(unit.system)
    for due in kept.owed():
        if due.of == person and _do(unit, due):
            unit.after_commit(lambda id_=due.id: kept.paid(id_))  # type: ignore[misc]
