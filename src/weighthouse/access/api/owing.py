"""A no that is kept before its change is committed, and the line that it then owes the log. Guards both from parting.

The memory outside the database comes first, or a kill in between would leave a no that only a row knows. If the
change then fails, the no stands: its caller is told so, and the line that the log lacks follows by a timer, once the
database takes changes again. So memory and log agree after any failure.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from weighthouse.access.events import GrantEnded, HoldPlaced, RequestDenied, RequestLapsed, VoteVoided
from weighthouse.access.events import RequestWithdrawn as Withdrawn
from weighthouse.access.model import Apart, Hold, Owed
from weighthouse.access.ports import Refusals
from weighthouse.access.store import grants, holds, requests
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.work import System, Unit, begin, read

logger = logging.getLogger("weighthouse.access")
STANDS = "What was said no to stands all the same, and its line follows once the database takes it."
FAILED = audit.OWED_WORDS[0]
PAY_AFTER: Millis = MINUTE // 2
"""How long a change may be on its way before its line is written without it: well before anybody closes on it."""
_SAID = ("revoked", "surrendered")
No = GrantEnded | HoldPlaced | RequestDenied | RequestLapsed | VoteVoided | Withdrawn
_LINES = {
    HoldPlaced.KIND: audit.Lines(HoldPlaced.KIND, by="hold"),
    VoteVoided.KIND: audit.Lines(VoteVoided.KIND, by="vote"),
    **{one.KIND: audit.Lines(one.KIND) for one in (GrantEnded, RequestDenied, RequestLapsed, Withdrawn)},
}
_UNSURE: dict[str, frozenset[str]] = {}
_KINDS: dict[str, type[Event]] = {
    one.KIND: one for one in (GrantEnded, HoldPlaced, RequestDenied, RequestLapsed, VoteVoided, Withdrawn)
}


def declare(kind: type[Event], *, unsure: tuple[str, ...] = (), by: str = "subject") -> None:
    """Let a room above owe lines of a kind of its own (`refuse_for_good`), found by the field `by`; `unsure` are
    fields that nobody knows before the change. Nothing but the line is written then: no row of that room overrules
    the memory."""
    _KINDS[kind.KIND] = kind
    _LINES[kind.KIND] = audit.Lines(kind.KIND, by=by)
    _UNSURE[kind.KIND] = frozenset(unsure)


def owed(unit: Unit, id_: str, line: Event) -> Owed:
    """The line as the memory keeps it: without the words of a person, which belong to the database alone."""
    data = {**line.data(), **dict.fromkeys(line.PERSONAL, FAILED)}
    return Owed(id=id_, kind=line.KIND, data=data, at=unit.now)


def close(unit: Unit, ids: Sequence[str], line: No) -> None:
    """Close the first of these ids, and what goes with it, before this unit is committed.

    What somebody said no to is closed at once, before any row is locked or written, and stands even if the database
    takes nothing of it. Attack: lock the table, so that every stop fails at its row and nothing is remembered. What
    only follows from another change, as a grant that is used up by it, is closed when nothing but the commit can
    still refuse that change.
    """
    refusals, due = unit.part(Refusals), owed(unit, ids[0], line)

    def keep() -> None:
        refusals.close(ids, due)
        unit.stands = STANDS

    if isinstance(line, RequestLapsed) or (isinstance(line, GrantEnded) and line.why not in _SAID):
        unit.last_before_commit(keep)
    else:
        keep()


def refuse_for_good(unit: Unit, id_: str, line: Event | None = None) -> None:
    """Remember that the thing with this id is over, even if this unit then fails to commit, and the `line` that other
    servers hear of it by. What goes on looks at that before its own row, so this comes before any row is written."""
    refusals = unit.part(Refusals)
    if line is None or refusals.closed(id_):
        refusals.close([id_])
        return
    refusals.close([id_], owed(unit, id_, line))
    unit.stands = STANDS
    unit.when_over(lambda done: refusals.settled([id_]) if done else None)


def say_for_good(unit: Unit, id_: str, line: Event) -> None:
    """Remember that somebody has said this, before any lock is waited for or row written; it is owed until the log
    has it, and not only until this unit is committed: a line that waits may vanish on its way."""
    unit.part(Refusals).close([id_], owed(unit, id_, line))
    unit.stands = STANDS


def unheard(unit: Unit, kind: str, field: str, value: str) -> list[dict[str, Any]]:
    """Return what this server owes the log, of this kind and about this, and the log does not tell yet."""
    found = [one for one in unit.part(Refusals).owed() if (one.kind, one.data.get(field)) == (kind, value)]
    return [one.data for one in found if not _told(unit, one)]


def place(unit: Unit, hold: Hold, line: HoldPlaced) -> None:
    """Place a hold, before any row of it is written."""
    unit.part(Refusals).place(hold, owed(unit, hold.id, line))
    unit.stands = STANDS


def keep_apart(unit: Unit, held: Apart) -> None:
    """Keep what is given just before this unit is committed; if it is not, nothing was given.

    What a kill in between leaves counts for as long as it would have lasted, which is the safe side.
    """
    refusals, system = unit.part(Refusals), unit.system
    unit.last_before_commit(lambda: refusals.keep_apart(held))

    def over(done: bool | None) -> None:
        if done or refusals.given(held.grant) != held:
            return
        with contextlib.suppress(OSError, WeighthouseError), read(system) as own:
            if grants.find(own.conn, held.grant) is None:  # learnt again from its line, should there be one
                refusals.keep_apart(msgspec.structs.replace(held, end=held.start))

    unit.when_over(over)


def pay(system: System) -> int:
    """Write the lines that the log lacks, each once; return how many.

    One that is younger than any change may take is left alone. Attack: lock the row, or the table of personal words,
    and no line ever comes. So the line goes first and alone, and the row follows when it can.
    """
    refusals = system.part(Refusals)
    with read(system) as unit:
        told, now = [one.id for one in refusals.owed() if _told(unit, one)], unit.now
    if told:
        refusals.settled(told)
    late = [one for one in refusals.owed() if now - one.at > PAY_AFTER]
    paid = sum(_pay(system, one) for one in late)
    for one in list(_unmended.get(system, {}).values()):
        _mend_row(system, one)
    return paid


_unmended: WeakKeyDictionary[System, dict[str, Owed]] = WeakKeyDictionary()
"""What this process has told without its row; until that is mended too, the memory overrules it."""


def _owing(system: System) -> list[tuple[str, Millis]]:
    """What the log may not tell yet: the timer strikes out what it tells."""
    try:
        refusals = system.part(Refusals)
    except Unavailable:  # a process without this room
        return []
    return [(one.id, one.at) for one in refusals.owed()]


audit.count_owed(_owing)


def _told(unit: Unit, one: Owed, more: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Whether the log has this very line, but for the words of a person: another no about the same thing, by somebody
    else or for another reason, tells nothing of this one. Attack: give back what is being revoked."""
    unsaid = _KINDS[one.kind].PERSONAL | _UNSURE.get(one.kind, frozenset())
    said = {name: value for name, value in msgspec.to_builtins(one.data).items() if name not in unsaid}
    found = (entry.data for entry in _LINES[one.kind].of(unit, one.id))
    return any(said == {name: data.get(name) for name in said} for data in (*found, *more))


def _pay(system: System, one: Owed) -> bool:
    line = msgspec.convert(one.data, _KINDS[one.kind])
    try:
        with begin(system, SYSTEM) as unit:
            if _told(unit, one, audit.on_its_way(unit, one.kind)):
                return False
            audit.append(unit, line)
    except WeighthouseError as error:  # one that still cannot be said keeps the others from nothing
        logger.warning("%s of %s is still owed: %s", one.kind, one.id, error.code)
        return False
    _unmended.setdefault(system, {})[one.id] = one
    logger.warning("%s of %s could not be committed when it was said; its line is written now", one.kind, one.id)
    return True


def _mend_row(system: System, one: Owed) -> None:
    with contextlib.suppress(WeighthouseError), begin(system, SYSTEM) as unit:
        _mend(unit, one.id, msgspec.convert(one.data, _KINDS[one.kind]))
        unit.after_commit(lambda: _unmended[system].pop(one.id, None))


def _mend(unit: Unit, id_: str, line: Event) -> None:
    """Let the row say what the memory says."""
    if isinstance(line, GrantEnded):
        grants.end(unit.conn, id_, unit.now, line.why, line.by)
    elif isinstance(line, HoldPlaced):
        hold = unit.part(Refusals).hold(id_)
        if hold is not None:
            holds.put(unit.conn, hold)
    elif isinstance(line, RequestDenied):
        requests.overrule(unit.conn, id_, "denied", line.by, unit.now)
    elif isinstance(line, Withdrawn):
        requests.overrule(unit.conn, id_, "withdrawn", "", unit.now)
    elif isinstance(line, RequestLapsed):
        requests.overrule(unit.conn, id_, "invalidated", line.why, unit.now)
    # a vote's row says nothing of it, nor does that of a room above
