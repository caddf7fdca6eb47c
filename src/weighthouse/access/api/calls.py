"""Calls for a hold on a release. Guards a release between the call that suffices and the placing of the hold.

A member's call is half a no, and two are a whole one. Attack: lose or hide one of them, so that no hold is placed,
and export before a timer finds that enough have called. So a call is remembered beside the database before a row of
it is written, and whatever is released asks for the calls of the memory, of the log and of the rows together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from weighthouse.access.api.about import About, about
from weighthouse.access.api.holds_on import every_hold, first_of, holds_on
from weighthouse.access.api.owing import STANDS, owed
from weighthouse.access.api.seating import seating
from weighthouse.access.events import HoldPlaced
from weighthouse.access.model import HELD_ACTIONS, IRREVERSIBLE, HoldCall, Stop
from weighthouse.access.ports import Refusals
from weighthouse.access.store import calls as rows
from weighthouse.audit import api as audit
from weighthouse.core import canonical
from weighthouse.core.clock import DAY, Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.events import Event
from weighthouse.core.signing import Signers, equal
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

SECOND_WITHIN: Millis = 7 * DAY
MOST = 50
_OUT = (*HELD_ACTIONS, *IRREVERSIBLE)
_CALLED = audit.Lines("governance.HoldCalled")
_EVERY_CALL = audit.Lines("governance.HoldCalled", by="")
LATEST = 10  # of a clock that was set back meanwhile
_PLACED = audit.Lines(HoldPlaced.KIND, by="held kind")


def stop_of(unit: Unit, actions: Iterable[str], resource: str, person: str, version: object = "") -> Stop | None:
    """What stands against one of these actions on `resource` (and its `version`) by `person`: a hold, or calls that
    suffice for one; None if nothing does."""
    return next((one for one in _each(unit, actions, resource, person, version) if one is not None), None)


def whole_stop_of(
    unit: Unit, actions: Iterable[str], resource: str, person: str, version: object = ""
) -> Stop | None:
    """What stands against every one of these actions; None if one of them is open."""
    found = list[Stop]()
    for one in _each(unit, actions, resource, person, version):
        if one is None:
            return None
        found.append(one)
    return next((one for one in found if one.hold), Stop())


def _each(unit: Unit, actions: Iterable[str], resource: str, person: str, version: object) -> Iterator[Stop | None]:
    found = about(unit, resource, version)
    standing, also = holds_on(unit, resource, person, found), found.all
    for one in actions:
        against = [hold for hold in standing if hold.stops(one, resource, person, also)]
        if against:
            yield Stop(hold=first_of(unit, against))
        else:
            yield Stop() if one in _OUT and (_called(unit, resource, found) or _untold(unit, found)) else None


def _called(unit: Unit, model: str, found: About) -> bool:
    models = {model, *found.models}
    return _any_call(unit, models) and any(called(unit, one) for one in models)


def _any_call(unit: Unit, models: Collection[str]) -> bool:
    """Whether anybody calls for anything; nobody does, on nearly every day, and a lineage may have many models."""
    since, refusals = unit.sure - SECOND_WITHIN, unit.part(Refusals)
    if rows.any_waiting(unit.conn, since) or any(refusals.calls(one) for one in models):
        return True
    return any(one.at >= since for one in _EVERY_CALL.of(unit, newest_first=True, limit=LATEST))


def _untold(unit: Unit, found: About) -> bool:
    """Whether what a version was made from is not known yet, while something is held that it may be made from."""
    return found.unknown and any(hold.subject != policy.LAB_RESOURCE for hold in every_hold(unit))


def called(unit: Unit, model: str) -> bool:
    """Whether enough members have called for a hold on a release, though none may stand yet."""
    members = callers(unit, model).union(one.member for one in _rows(unit, model))
    return bool(members) and policy.may_hold(seating(unit), members)


def callers(unit: Unit, model: str) -> frozenset[str]:
    """Who has called and led to no hold yet, as the memory and the log tell; no row answers for anybody."""
    kept = (one.member for one in _fresh(unit, unit.part(Refusals).calls(model)))
    return frozenset((*kept, *(str(entry.data["member"]) for entry in _lines(unit, model))))


def waiting_calls(unit: Unit, model: str) -> list[HoldCall]:
    """Return the calls that have led to no hold yet, one for each member: of the memory, the log and the rows.

    A call can be deleted from the database and stays in both others; one made at another server a moment ago may not
    have reached the log of PostgreSQL. A row counts with its seal: nobody is said to have called who has not.
    """
    found = {one.member: one for one in _fresh(unit, unit.part(Refusals).calls(model))}
    found |= {one.member: one for one in (_call_of(unit, entry) for entry in _lines(unit, model))}
    found |= {one.member: one for one in _rows(unit, model)}
    return sorted(found.values(), key=lambda one: (one.at, one.member))


def remember_call(unit: Unit, call: HoldCall, line: Event) -> None:
    """Remember a call before any lock is waited for or row written; if its change then fails, the call stands."""
    refusals = unit.part(Refusals)
    refusals.call(call, owed(unit, call.id, line))
    unit.stands = STANDS
    unit.when_over(lambda done: refusals.settled([call.id]) if done else None)


def keep_call(unit: Unit, call: HoldCall) -> None:
    """Write the row of a call, by which other servers see it at once."""
    rows.add(unit.conn, call, _seal(unit, call))


def answer_calls(unit: Unit, model: str, hold: str) -> None:
    """Let the rows of the calls on a model name the hold that they led to."""
    rows.answer(unit.conn, model, hold)


def _fresh(unit: Unit, calls: Iterable[HoldCall]) -> list[HoldCall]:
    """Those that are not too old; by the time that is sure, for a clock that leaps takes no call back."""
    return [one for one in calls if one.at >= unit.sure - SECOND_WITHIN]


def _rows(unit: Unit, model: str) -> list[HoldCall]:
    """The calls of the rows since the last hold of the committee on this model. Attack: let the rows of calls that
    were answered say that they wait, and the hold that the committee lifted comes back in their members' names. No
    row says that it waits: the log and the memory tell what was answered."""
    found = rows.waiting(unit.conn, model, unit.sure - SECOND_WITHIN)
    if not found:
        return []
    placed = _PLACED.newest(unit, f"{model} governance")
    answered = max(unit.part(Refusals).answered(model), 0 if placed is None else placed.at)
    return [one for one, seal in found if one.at > answered and _is_sealed(unit, one, seal)]


def _is_sealed(unit: Unit, call: HoldCall, seal: bytes) -> bool:
    """Whether a row is what this lab wrote; one that could not even be sealed takes no other with it."""
    try:
        return equal(seal, _seal(unit, call))
    except Invalid:
        return False


def _lines(unit: Unit, model: str) -> list[audit.Entry]:
    """The lines of calls since the last hold of the committee on this model."""
    placed = _PLACED.newest(unit, f"{model} governance")
    start = 0 if placed is None else placed.index
    told = _CALLED.of(unit, model, start=start, newest_first=True, limit=MOST)
    return [one for one in told if one.at >= unit.sure - SECOND_WITHIN]


def _call_of(unit: Unit, entry: audit.Entry) -> HoldCall:
    data = audit.reveal(unit, entry)
    reason = data["reason"] if isinstance(data["reason"], str) else ""
    return HoldCall(model=data["model"], member=data["member"], reason=reason, at=entry.at)


def _seal(unit: Unit, call: HoldCall) -> bytes:
    """The code over a call, made with a key outside the database."""
    said = {"model": call.model, "member": call.member, "reason": call.reason, "at": call.at}
    return unit.part(Signers).mac("committee", b"governance.call\x00" + canonical.encode(said))
