"""The beginning of a session, as the log tells it. Guards what must be known of a session from the loss of its row.

Attack: take a session's row away for the moment in which it is said to be stolen, or wait until it is forgotten. So
whose it was, which key it was bound to and until when it could live are read from the line of its beginning, which
nobody takes away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.sealing import mark_of_origin
from weighthouse.identity.api.weeks import WEEK
from weighthouse.identity.events import SessionStarted
from weighthouse.identity.model import Session

BROWSER = "browser:"
"""What the mark of a browser begins with, and no key's thumbprint."""
_STARTED, _OF_PERSON = audit.Lines(SessionStarted.KIND), audit.Lines(SessionStarted.KIND, by="principal")


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What its line says of a session. `key` is empty for a browser's, and in a line from before keys were named."""

    session: str
    person: str
    browser: bool
    key: str
    ends: Millis

    def may_be_of(self, mark: str) -> bool:
        """Whether it may be bound to this key or browser, by its line; to one that nobody knows, any may."""
        if self.browser:
            return not mark or mark.startswith(BROWSER)
        return not mark or self.key in ("", mark)


def announce(unit: Unit, session: Session) -> None:
    """Append the line of a session that begins."""
    audit.append(
        unit,
        SessionStarted(
            session=session.id,
            principal=session.person,
            binding=session.binding,
            level=session.assurance.level,
            method=session.assurance.method,
            reasons=session.reasons,
            origin=mark_of_origin(unit, session.address),
            ends=session.ends,
            address=session.address,
            user_agent=session.user_agent,
            key=session.key,
        ),
    )


def begun(unit: Unit, session: str, person: str) -> Begun | None:
    """The beginning of this session of `person`; None where no line tells of it, or the log is in doubt: an end is
    said all the same, and takes along whatever may be of it."""
    try:
        line = _STARTED.newest(unit, session)
    except WeighthouseError:
        return None
    told = [line.data] if line is not None else _waiting(unit, person)
    return next((found for one in told if (found := _read(one)).session == session and found.person == person), None)


def can_tell(unit: Unit) -> bool:
    """Whether the log can be read, so that what it does not tell of never began."""
    try:
        _STARTED.newest(unit, "")
    except WeighthouseError:
        return False
    return True


def begun_lately(unit: Unit, person: str) -> list[Begun]:
    """The sessions of a person that began and cannot have run out, by the log alone. Empty where that is in doubt."""
    longest = max(WEEK, unit.system.settings.integer("identity.absolute_s") * SECOND)
    try:
        lines = _OF_PERSON.of(unit, person, start=_OF_PERSON.since(unit, unit.now - longest, person))
    except WeighthouseError:
        return []
    found = (_read(one) for one in (*(line.data for line in lines), *_waiting(unit, person)))
    return list({one.session: one for one in found if unit.now < one.ends}.values())


def _waiting(unit: Unit, person: str) -> list[dict[str, Any]]:
    return [one for one in audit.on_its_way(unit, SessionStarted.KIND) if one["principal"] == person]


def _read(said: Mapping[str, Any]) -> Begun:
    return Begun(
        session=str(said["session"]),
        person=str(said["principal"]),
        browser=said["binding"] == "browser",
        key=str(said.get("key", "")),
        ends=int(said["ends"]),
    )
