"""The keys and sessions that somebody had when a line was written, by the log alone. Guards alerts from hidden rows.

Attack: enrol a key in somebody's name, and take the row of their own one away for the moment in which the enrolment
is followed: they had no other key then, and nobody is told. A follower passes a line once, so what it asks about the
past is asked of what nobody takes away.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core.clock import SECOND
from weighthouse.core.work import Unit
from weighthouse.detect.rules import facts, stopped

_ENROLLED = audit.Lines("identity.DeviceEnrolled", by="principal")
_DEVICE_ENDED = audit.Lines("identity.DeviceEnded")
_ASIDE = [audit.Lines(one) for one in ("identity.Disowned", "identity.PersonFrozen")]
_AGAIN = audit.Lines("identity.KeysRestored", by="device")
_STARTED = audit.Lines("identity.SessionStarted", by="principal")
_SESSION_ENDED = [audit.Lines(one) for one in ("identity.SessionEnded", "identity.SessionUsedElsewhere")]


def has_another(unit: Unit, person: str, device: str, index: int) -> bool:
    """Whether a person had another key than this one at that place of the log, which was neither over nor aside."""
    aside = max((one.index for lines in _ASIDE for one in lines.of(unit, person, end=index)), default=-1)
    others = (one for one in _ENROLLED.of(unit, person, end=index) if one.subject != device)
    return any(_lives(unit, one, aside, index) for one in others)


def _lives(unit: Unit, enrolled: audit.Entry, aside: int, index: int) -> bool:
    if _DEVICE_ENDED.of(unit, enrolled.subject, end=index, limit=1):
        return False
    again = _AGAIN.of(unit, enrolled.subject, end=index, limit=1, newest_first=True)
    return max(enrolled.index, *(one.index for one in again)) > aside if again else enrolled.index > aside


def from_afar(unit: Unit, person: str, entry: audit.Entry) -> bool:
    """Whether a session of the person that may have lived at that line was begun in a country new to them."""
    longest = unit.system.settings.integer("identity.absolute_s") * SECOND
    start = _STARTED.since(unit, entry.at - longest, person)
    begun = _STARTED.of(unit, person, start=start, end=entry.index)
    return any(_strange(one) and not _over(unit, one.subject, entry.index) for one in begun)


def _strange(begun: audit.Entry) -> bool:
    return bool(stopped.NEAR & facts.reasons(begun.data))


def _over(unit: Unit, session: str, index: int) -> bool:
    return any(lines.of(unit, session, end=index, limit=1) for lines in _SESSION_ENDED)
