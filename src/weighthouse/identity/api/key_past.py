"""By what a key counted when it acted, as the log tells it. Guards from a cover-up of what let a thief's key count.

Attack: act with a key that counts by a stolen session, then change what became of it: retire it, end it as stolen
"since now", have it set aside, confirmed again, or grow a day old. What it did is judged by what stood when it did
it: the words for it since it was last set aside (confirmed, let count again, grown up beside others), and its
enrolment until somebody looked at it anew. If all of these were said by somebody else, by what is known today, so was
the act. An honest word that stood then keeps it; one that came later gives it nothing. Nothing is read from rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import islice

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.work import System, Unit
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
_ENROLLED_AS = audit.Lines(DeviceEnrolled.KIND)
_WORDS_FOR = {
    "confirm": audit.Lines(DeviceConfirmed.KIND, by="device"),
    "restore": audit.Lines(KeysRestored.KIND, by="device"),
}
_WORDS = {
    "confirm": audit.Lines(DeviceConfirmed.KIND, by="principal"),
    "restore": audit.Lines(KeysRestored.KIND),
}
_FELL_OF = audit.Lines(KeyFellBack.KIND, by="principal")
_ASIDE = [audit.Lines(Disowned.KIND), audit.Lines(PersonFrozen.KIND)]
_FELL = audit.Lines(KeyFellBack.KIND)
_STOPS = audit.Lines(SessionEnded.KIND)
_ENDED = audit.Lines(DeviceEnded.KIND, by="principal")
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

    def grown_alone(self, index: int, at: Millis, grows: Millis) -> bool:
        """Whether it is for its growing up alone to say if what the key did then stands: by nothing else it does."""
        words, _, last = self._stood(index, at)
        stolen = self.stolen and not any(one.act == "restore" for one in words)
        old = last < 0 and at >= self.enrolled.at + grows
        return old and not stolen and not any(one.stands for one in words)

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
    """The pasts of the keys of one person, each read once, the eldest first: a key grows up under the eyes of elder
    ones. What the log tells of them all is read once, however many there are, and each end is compared with those
    that lived then."""

    def __init__(self, unit: Unit, person: str, *, only: str = "") -> None:
        """With `only`, what the log tells of this key alone: enough for all but whether it grew up (`said`)."""
        self._unit, self._person = unit, person
        self._grows = grows(unit.system)
        enrolled = _ENROLLED_AS.of(unit, only) if only else _ENROLLED.of(unit, person)
        self._lines = {line.subject: line for line in enrolled if line.data["principal"] == person}
        ends = _ENDED.of(unit, person) if self._lines and not only else ()
        self._ends = [line for line in ends if line.subject in self._lines]
        self._first = {line.subject: line for line in reversed(self._ends)}
        self._aside = [line.index for line in _set_aside(unit, person)]
        words, fell = (_WORDS_FOR, _FELL) if only else (_WORDS, _FELL_OF)
        self._words = {act: _by_device(lines.of(unit, only or person)) for act, lines in words.items()}
        self._fell = _by_device(fell.of(unit, only or person))
        waiting = audit.on_its_way(unit, KeyFellBack.KIND)
        self._waiting = [one for one in waiting if one["principal"] == person]
        self._known, self._left = dict[str, Past](), iter(tuple(self._lines))
        self._living = self._sweep()
        self._eyes = dict[int, list[_Eye]]()

    def all(self) -> Iterable[Past]:
        """The past of every key that the person ever enrolled, the eldest first."""
        return (self._of(device) for device in self._lines)

    def of(self, device: str) -> Past | None:
        """The past of one key; None if the log does not tell of its enrolment."""
        return self._of(device) if device in self._lines else None

    def said(self, device: str) -> Past | None:
        """The past of one key, but for whether it grew up."""
        return self._said(self._lines[device]) if device in self._lines else None

    def end_of(self, device: str) -> audit.Entry | None:
        """The line of its first end."""
        return self._first.get(device)

    def _of(self, device: str) -> Past:
        while device not in self._known:
            eldest = next(self._left)
            said = self._said(self._lines[eldest])
            self._known[eldest] = msgspec.structs.replace(said, growth=self._growth(said))
            self._watches(self._known[eldest])
        return self._known[device]

    def _sweep(self) -> dict[int, tuple[str, ...]]:
        """Which keys lived just before each line of an enrolment or an end."""
        living, found = dict[str, None](), dict[int, tuple[str, ...]]()
        for line in sorted((*self._lines.values(), *self._ends), key=lambda one: one.index):
            found[line.index] = tuple(living)
            if line.kind == DeviceEnrolled.KIND:
                living[line.subject] = None
            else:
                living.pop(line.subject, None)
        return found

    def _given(self, device: str) -> list[tuple[str, audit.Entry]]:
        """The words for a key, each with its act. Where a key counts at once, confirming gives it nothing; letting it
        count again does there, too."""
        acts = [act for act in self._words if act != "confirm" or not at_once(self._unit.system)]
        return [(act, line) for act in acts for line in self._words[act].get(device, ())]

    def _breaks(self, enrolled: audit.Entry) -> tuple[int, ...]:
        aside = (one for one in self._aside if one > enrolled.index)
        fell = self._fell.get(enrolled.subject, ())
        return (*aside, *(one.index for one in fell if one.data.get("waits", one.data["act"] == "restore")))

    def _said(self, enrolled: audit.Entry) -> Past:
        """All but whether it grew up."""
        unit, device = self._unit, enrolled.subject
        waiting = (one for one in self._waiting if one["device"] == device)
        own = unit.memo.get((FELL, device), ())
        fell = ((line.index, line.data) for line in self._fell.get(device, ()))
        told = [*fell, *((None, one) for one in (*waiting, *own))]
        words = list[Word]()
        for act, line in self._given(device):
            stands = is_said(unit, line) and not any(_names(line, act, *one) for one in told)
            words.append(Word(index=line.index, at=line.at, act=act, stands=stands))
        session = str(enrolled.data.get("session", ""))
        # That session fell with what this very key did in it, and nobody has said more against it.
        kept = any(one["act"] == ENROL for _, one in told) and not _said_stolen(unit, session)
        return Past(
            enrolled=enrolled,
            stolen=bool(session) and not kept and ended_by_another(unit, session, self._person),
            words=tuple(sorted(words, key=lambda one: one.index)),
            breaks=self._breaks(enrolled),
        )

    def _growth(self, said: Past) -> Growth | None:
        """Under the eyes of which keys it grew up; None if it never did."""
        line, at = said.enrolled, said.enrolled.at + self._grows
        if at_once(self._unit.system) or at > self._unit.now:
            return None
        watched = self._watching(line)
        if not watched or not self._kept(line, at):
            return None
        fell = self._fell.get(line.subject, ())
        until = min((one.index for one in fell if one.data["act"] == "beside" or _old(one)), default=None)
        return Growth(at=at, until=until, stands=not all(one.fell(line.index, line.at) for one in watched))

    def _watching(self, line: audit.Entry) -> list[Past]:
        """The keys that counted when one was enrolled: as its line names them, or as theirs tell it."""
        named = line.data.get("beside")
        if named is None:
            living = (self._known[one] for one in self._living[line.index])
            return [one for one in living if one.counted(line.index, line.at)]
        elder = (one for one in map(self._known.get, named) if one is not None)
        return [one for one in elder if one.enrolled.index < line.index]

    def _kept(self, line: audit.Entry, until: Millis) -> bool:
        """Whether some key of the person counted until then, whichever were ended: else it waits for somebody."""
        begins = bisect_right(self._ends, line.index, key=lambda one: one.index)
        ends = (one for one in islice(self._ends, begins, None) if one.subject != line.subject and one.at < until)
        return all(self._watched(line, one) for one in ends)

    def _watched(self, line: audit.Entry, end: audit.Entry) -> bool:
        """Whether another key counted at this end: by somebody's word, or as it had grown up. A younger one grows up
        later."""
        return any(one.since < line.index and one.device != line.subject for one in self._eyes_at(end))

    def _eyes_at(self, end: audit.Entry) -> list[_Eye]:
        if end.index not in self._eyes:
            living = (one for one in self._living[end.index] if one != end.subject)
            spoken = (_Eye(device=one) for one in living if self._spoken(one, end.index))
            self._eyes[end.index] = list(islice(spoken, _ENOUGH))
        return self._eyes[end.index]

    def _spoken(self, device: str, index: int) -> bool:
        """Whether a key counted in that line by somebody's word, rightly or not."""
        last = max((one for one in self._breaks(self._lines[device]) if one < index), default=-1)
        return any(last < line.index < index for _, line in self._given(device))

    def _watches(self, past: Past) -> None:
        """Note at which ends this key had grown up and lived, beside which younger ones grow."""
        if past.growth is None:
            return
        device, index = past.enrolled.subject, past.enrolled.index
        over = self._first[device].index if device in self._first else None
        for end in islice(self._ends, bisect_right(self._ends, index, key=lambda one: one.index), None):
            if over is not None and end.index >= over:
                return
            eyes = self._eyes_at(end)
            seen = len(eyes) >= _ENOUGH or any(one.device == device for one in eyes)
            if not seen and end.subject != device and past.counted(end.index, end.at):
                eyes.append(_Eye(device=device, since=index))


def grows(system: System) -> Millis:
    """How long it takes a key to grow up."""
    return system.settings.integer("identity.new_key_s") * SECOND


class _Eye(msgspec.Struct, frozen=True, kw_only=True):
    """A key that counted at an end; one that did as it had grown up, for those that were enrolled after `since`."""

    device: str
    since: int = -1


_ENOUGH = 2  # of the eldest, for one of them may be the very key that is asked about


def _by_device(lines: list[audit.Entry]) -> dict[str, list[audit.Entry]]:
    found = dict[str, list[audit.Entry]]()
    for line in lines:
        found.setdefault(str(line.data.get("device", "")), []).append(line)
    return found


def aside_at(unit: Unit, person: str, device: str) -> Millis | None:
    """When a key that is aside was set aside first, since somebody let it count again who was themselves; None if the
    log does not tell."""
    again = (one for one in _WORDS_FOR["restore"].of(unit, device) if is_said(unit, one))
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
