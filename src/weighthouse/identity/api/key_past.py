"""By what a key counted when it acted, as the log tells it. Guards from a cover-up of what let a thief's key count.

Attack: act with a key that counts by a stolen session, then change what became of it: retire it, end it as stolen
"since now", have it set aside, confirmed again, or grow a day old. What it did is judged by what stood when it did
it: the words for it since it was last set aside (confirmed, let count again, grown up beside others), and its
enrolment until somebody looked at it anew. If all of these were said by somebody else, by what is known today, so was
the act. An honest word that stood then keeps it; one that came later gives it nothing. Nothing is read from rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.work import Unit
from weighthouse.identity.api.ends import FOREIGN
from weighthouse.identity.api.new_keys import at_once
from weighthouse.identity.api.sessions import disowned_lately, ended_by_another
from weighthouse.identity.api.vouchers import OPERATOR
from weighthouse.identity.events import (
    DeviceConfirmed,
    DeviceEnded,
    DeviceEnrolled,
    Disowned,
    KeyFellBack,
    KeysRestored,
    PersonFrozen,
    SessionEnded,
)

_ENROLLED = audit.Lines(DeviceEnrolled.KIND, by="principal")
_WORDS = {
    "confirm": audit.Lines(DeviceConfirmed.KIND, by="device"),
    "restore": audit.Lines(KeysRestored.KIND, by="device"),
}
_ASIDE = [audit.Lines(Disowned.KIND), audit.Lines(PersonFrozen.KIND)]
_FELL = audit.Lines(KeyFellBack.KIND)
_STOPS = audit.Lines(SessionEnded.KIND)
_ENDED = audit.Lines(DeviceEnded.KIND)
ENROL = "enrol"
"""What a `KeyFellBack` says whose key counts on, though what it did in the session that enrolled it fell."""

FELL = "keys that fell"
"""Under which a unit keeps what the lines say that it adds itself, which it does not find yet."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody let a key count, in the line `index`, and whether they were themselves by all that is known."""

    index: int
    at: Millis
    act: str
    stands: bool


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """That a key counted by itself from a moment on, until a line that says otherwise."""

    at: Millis
    until: int | None
    stands: bool


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What let one key count, and when it was set aside (`breaks`, by their lines): after that all is said anew."""

    enrolled: audit.Entry
    stolen: bool
    words: tuple[Word, ...]
    breaks: tuple[int, ...]
    growth: Growth | None = None

    def fell(self, index: int, at: Millis) -> bool:
        """Whether what the key did in that line, at that time, rested on nothing but what is disowned by now."""
        words, grown, last = self._stood(index, at)
        if last < 0 and self.stolen and not any(one.act == "restore" for one in words):
            return True
        standing = [one.stands for one in words] + ([grown.stands] if grown else [])
        return bool(standing) and not any(standing)

    def counted(self, index: int, at: Millis) -> bool:
        """Whether the key counted then, rightly or not."""
        words, grown, _ = self._stood(index, at)
        return bool(words) or grown is not None

    def waited(self, index: int, at: Millis) -> bool:
        """Whether it had fallen, or was set aside, before that line, and nobody had let it count again by then."""
        words, grown, last = self._stood(index, at)
        return last >= 0 and not words and grown is None

    def since(self, known: Millis, now: Millis) -> Millis:
        """From when on it has counted by nothing that stands: since the first word after the last that does, or since
        it was set aside last; `known` if the log names none, `now` if the last word stands."""
        words = [one for one in self.words if one.index > max(self.breaks, default=-1)]
        stands = max((one.index for one in words if one.stands), default=-1)
        return min((one.at for one in words if one.index > stands), default=now if words else known)

    @property
    def vouched(self) -> bool:
        """Whether somebody's word for it stands, said since it was set aside last."""
        last = max(self.breaks, default=-1)
        return any(one.stands and one.index > last for one in self.words)

    @property
    def looked_at(self) -> bool:
        """Whether somebody let it count again, so that its enrolment is not asked since."""
        return any(one.act == "restore" for one in self.words)

    @property
    def doubted(self) -> bool:
        """Whether anything that let it count is disowned."""
        grown = self.growth is not None and not self.growth.stands
        return self.stolen or grown or not all(one.stands for one in self.words)

    def _stood(self, index: int, at: Millis) -> tuple[list[Word], Growth | None, int]:
        last = max((one for one in self.breaks if one < index), default=-1)
        grown = self.growth
        if grown is not None and (last >= 0 or at < grown.at or (grown.until is not None and index > grown.until)):
            grown = None
        return [one for one in self.words if last < one.index < index], grown, last


class Pasts:
    """The pasts of the keys of one person, each read once."""

    def __init__(self, unit: Unit, person: str) -> None:
        self._unit, self._person = unit, person
        self._grows = unit.system.settings.integer("identity.new_key_s") * SECOND
        self._lines = {line.subject: line for line in _ENROLLED.of(unit, person)}
        self._aside = [line.index for line in _set_aside(unit, person)]
        self._known = dict[str, Past]()

    def all(self) -> Iterable[Past]:
        """The past of every key that the person ever enrolled, the eldest first."""
        return (self._of(device) for device in self._lines)

    def of(self, device: str) -> Past | None:
        """The past of one key; None if the log does not tell of its enrolment."""
        return self._of(device) if device in self._lines else None

    def end_of(self, device: str) -> audit.Entry | None:
        """The line of its first end."""
        return next(iter(_ENDED.of(self._unit, device)), None)

    def _of(self, device: str) -> Past:
        if device not in self._known:
            said = self._said(self._lines[device])
            self._known[device] = msgspec.structs.replace(said, growth=self._growth(said))
        return self._known[device]

    def _said(self, enrolled: audit.Entry) -> Past:
        """All but whether it grew up."""
        unit, device = self._unit, enrolled.subject
        fell = [(line.index, line.data) for line in _FELL.of(unit, device)]
        waiting = (one for one in audit.on_its_way(unit, KeyFellBack.KIND) if one["device"] == device)
        own = unit.memo.get((FELL, device), ())
        told = [*fell, *((None, one) for one in (*waiting, *own))]
        words = list[Word]()
        for act, lines in _WORDS.items():
            # Where a key counts at once, confirming gives it nothing; letting it count again does there, too.
            for line in () if act == "confirm" and at_once(unit.system) else lines.of(unit, device):
                stands = is_said(unit, line) and not any(_names(line, act, *one) for one in told)
                words.append(Word(index=line.index, at=line.at, act=act, stands=stands))
        session = str(enrolled.data.get("session", ""))
        # That session fell with what this very key did in it, and nobody has said more against it.
        kept = any(one["act"] == ENROL for _, one in told) and not _said_stolen(unit, session)
        aside = [one for one in self._aside if one > enrolled.index]
        return Past(
            enrolled=enrolled,
            stolen=bool(session) and not kept and ended_by_another(unit, session, self._person),
            words=tuple(sorted(words, key=lambda one: one.index)),
            breaks=(*aside, *(index for index, one in fell if one.get("waits", one["act"] == "restore"))),
        )

    def _growth(self, said: Past) -> Growth | None:
        """Under the eyes of which keys it grew up; None if it never did."""
        line, at = said.enrolled, said.enrolled.at + self._grows
        if at_once(self._unit.system) or at > self._unit.now:
            return None
        watched = list(self._watching(line))
        if not watched or not self._kept(line, at):
            return None
        fell = (one for one in _FELL.of(self._unit, line.subject) if one.data["act"] == "beside" or _old(one))
        until = min((one.index for one in fell), default=None)
        return Growth(at=at, until=until, stands=not all(one.fell(line.index, line.at) for one in watched))

    def _watching(self, line: audit.Entry) -> Iterable[Past]:
        """The keys that counted when one was enrolled: as its line names them, or as theirs tell it."""
        named = line.data.get("beside")
        for device, other in self._lines.items():
            if other.index >= line.index or (named is not None and device not in named):
                continue
            past = self._of(device)
            if named is not None or (past.counted(line.index, line.at) and not self._over(device, line.index)):
                yield past

    def _kept(self, line: audit.Entry, until: Millis) -> bool:
        """Whether some key of the person counted until then, whichever were ended: else it waits for somebody."""
        ends = chain.from_iterable(_ENDED.of(self._unit, one) for one in self._lines if one != line.subject)
        return all(self._watched(line, one) for one in ends if one.index > line.index and one.at < until)

    def _watched(self, line: audit.Entry, end: audit.Entry) -> bool:
        for device, other in self._lines.items():
            if device in (line.subject, end.subject) or other.index > end.index or self._over(device, end.index):
                continue
            past = self._of(device) if other.index < line.index else self._said(other)  # a younger one grows up later
            if past.counted(end.index, end.at):
                return True
        return False

    def _over(self, device: str, index: int) -> bool:
        return any(one.index < index for one in _ENDED.of(self._unit, device))


def aside_at(unit: Unit, person: str, device: str) -> Millis | None:
    """When a key that is aside was set aside first, since somebody let it count again who was themselves; None if the
    log does not tell."""
    again = (one for one in _WORDS["restore"].of(unit, device) if is_said(unit, one))
    enrolled = (one for one in _ENROLLED.of(unit, person) if one.subject == device)
    begins = max((one.index for one in (*enrolled, *again)), default=-1)
    fell = (one for one in _FELL.of(unit, device) if one.data["act"] == "restore")
    return min((one.at for one in (*_set_aside(unit, person), *fell) if one.index > begins), default=None)


def _set_aside(unit: Unit, person: str) -> list[audit.Entry]:
    """The lines with which every key of a person was set aside."""
    return [line for lines in _ASIDE for line in lines.of(unit, person)]


def _said_stolen(unit: Unit, session: str) -> bool:
    """Whether somebody, and not this program by itself, has ended a session as not its person's."""
    return any(
        one.data["by"] != SYSTEM.principal and one.data.get("whose") == FOREIGN for one in _STOPS.of(unit, session)
    )


def is_said(unit: Unit, line: audit.Entry) -> bool:
    """Whether who let a key count by this line was themselves, by all that is known."""
    by, session = str(line.data["by"]), str(line.data.get("session", ""))
    return by == OPERATOR or not disowned_lately(unit, by, session, line.at)


def _old(line: audit.Entry) -> bool:
    """Whether the line of a fall is from before it told whether the key waits since."""
    return "waits" not in line.data


def _names(line: audit.Entry, act: str, index: int | None, fell: dict[str, object]) -> bool:
    """Whether a fall, in the line `index` or on its way, was of this word; an old line tells the first."""
    if fell["act"] != act or fell["by"] != line.data["by"] or (index is not None and index < line.index):
        return False
    sessions = fell.get("sessions")
    if isinstance(sessions, list | tuple):
        return str(line.data.get("session", "")) in sessions
    return fell.get("since") == line.at
