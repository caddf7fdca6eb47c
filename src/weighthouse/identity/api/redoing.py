"""Lines of the log that are carried out again, since a record that they are about was not believed at the first time.
Guards what follows from an end from a row that was hidden for a moment.

Attack: a follower passes each line once. Edit or delete one row while it does, and put it back: what could not be
read would pass for what there is nothing to do about. So the line is remembered outside the database, with the person
whose record was not believed, and a timer carries it out once it is. Nobody else waits for that: what counts is
judged at every use. A record that stays broken lets nobody in, and after the longest time that anything lasts the
line is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity.api.moments import KEPT
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.sessions import end_session, ended_by_another, foreign_since
from weighthouse.identity.api.states import state_of
from weighthouse.identity.api.unseen import believed_session

logger = logging.getLogger("weighthouse.identity")
_LINE, _UNREAD = "line that is carried out", "people of whom it could not be"
_AGAIN = "again "


def carrying_out(unit: Unit, index: int) -> None:
    """Say which line of the log this unit carries out now."""
    unit.memo[_LINE] = index


def unread(unit: Unit, person: str) -> None:
    """Remember that this line is to be carried out again for `person`, of whom something was not believed. Where no
    line is carried out, whoever acts is told of it themselves."""
    if _LINE not in unit.memo:
        return
    unit.memo.setdefault(_UNREAD, set()).add(person)
    kept, line = memory(unit.system), f"{unit.memo[_LINE]} {person}"
    kept.condemn(f"{_AGAIN}{kept.version(_done(line))} {line}", unit.now + KEPT)


def disown(unit: Unit, person: str, session: str, reason: str, by: str) -> None:
    """End a session of `person` as somebody else's, or see that it is done again: a row that is not believed may pass
    for one that says so already."""
    if is_disowned(unit, person, session):
        return
    try:
        end_session(unit, session, reason, by, of=person)
    except WeighthouseError:
        unread(unit, person)
        return
    if not is_disowned(unit, person, session):
        unread(unit, person)


def is_disowned(unit: Unit, person: str, session: str) -> bool:
    """Whether a session was ended as somebody else's, by what is remembered or by a row that is believed."""
    if foreign_since(unit, session, 0):
        return True
    return believed_session(unit, session) is not None and ended_by_another(unit, session, person)


def believed(unit: Unit, person: str) -> bool:
    """Whether the record of a person is."""
    try:
        state_of(unit, person)
    except WeighthouseError:
        return False
    return True


def redo(system: System, act: Callable[[Unit, audit.Entry], None]) -> int:
    """Carry out again what waits for people whose record is believed by now; return how many lines."""
    due = _due(system)
    if not due:
        return 0
    with read(system) as unit:
        ready = {person for person in {person for _, person in due} if believed(unit, person)}
    return sum(_redo(system, index, person, act) for index, person in due if person in ready)


def _due(system: System) -> list[tuple[int, str]]:
    """The lines that wait, each with the person for whom; not those that were carried out since as often."""
    kept = memory(system)
    found = (one.removeprefix(_AGAIN).split(" ", 1) for one in kept.all_condemned() if one.startswith(_AGAIN))
    lines = [line.split(" ", 1) for times, line in found if kept.version(_done(line)) <= int(times)]
    return sorted({(int(index), person) for index, person in lines})


def _done(line: str) -> str:
    """How often a line has been carried out again for a person."""
    return f"done {line}"


def _redo(system: System, index: int, person: str, act: Callable[[Unit, audit.Entry], None]) -> bool:
    try:
        with begin(system, SYSTEM) as unit:
            _act(unit, index, act)
            if person in unit.memo.get(_UNREAD, ()):
                return False
    except WeighthouseError as error:  # one that still cannot be done keeps the others from nothing
        logger.warning("line %s is still to be carried out for %s: %s", index, person, error.code)
        return False
    kept, line = memory(system), _done(f"{index} {person}")
    kept.raise_version(line, kept.version(line) + 1)
    return True


def _act(unit: Unit, index: int, act: Callable[[Unit, audit.Entry], None]) -> None:
    try:
        act(unit, audit.entry(unit, index))
    except WeighthouseError as error:
        error.record = ()  # it was told at the first time, and is not at each round of a timer
        raise
