"""What opened in a session that was somebody else's is closed again. Guards freezes, holds and releases from a thief.

A hold that was lifted, a person who was thawed and a release that was let go on an answer which fell since stand
closed again once that session is disowned, each with its line, of which an alert tells by name. When a session is
ended that is what was opened in it; when its person says "this was not me" or is frozen, what was opened in their
name while a session that they ended with it can have lived: not everybody whom they ever thawed. Who has looked
anew since, and opened it in a session that is theirs, is not asked again.

An act that was under way when its session was ended may have a line that comes after that of the end, and another
server may hear of the end late. So it is asked at the line of the opening, too: whichever comes last closes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from weighthouse.access.api.foreign import ended, ender
from weighthouse.access.api.holds import may_stand, stand
from weighthouse.access.api.holds_on import was_placed
from weighthouse.access.api.mandate import carries_still
from weighthouse.access.api.seats import may_silence
from weighthouse.access.events import HoldLifted, HoldLookedAt, HoldPlaced, OpeningFell
from weighthouse.access.model import Hold
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import HoldId, made_id
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

WHY = "It was lifted in a session that was somebody else's, so it stands again."
THAWED = "they were thawed in a session that was somebody else's"
# by the session, and by the person, each kind with the field that names its person
_OPENED = {
    "identity.PersonThawed": "by",
    HoldLifted.KIND: "by",
    HoldLookedAt.KIND: "by",
    "governance.BallotCast": "member",
}
OPENED = frozenset(_OPENED)
_BY_SESSION = {kind: audit.Lines(kind, by="session") for kind in _OPENED}
_BY_PERSON = {kind: audit.Lines(kind, by=by) for kind, by in _OPENED.items()}
_THAWS, _FREEZES = audit.Lines("identity.PersonThawed"), audit.Lines("identity.PersonFrozen")
_LIFTS = audit.Lines(HoldLifted.KIND, by="hold")
_CARRIED = audit.Lines(HoldLifted.KIND, by="authority")
_LOOKS = audit.Lines(HoldLookedAt.KIND, by="hold")
_ANSWERS = audit.Lines("governance.BallotCast", by="digest")
_PLACED = audit.Lines(HoldPlaced.KIND, by="hold")
_FELL = {by: audit.Lines(OpeningFell.KIND, by=by) for by in ("opened", "hold")}


def close_session(unit: Unit, person: str, session: str, by: str) -> None:
    """Close again what `person` opened in `session`, if that was ended from elsewhere."""
    for kind, lines in _BY_SESSION.items():
        _close(unit, person, kind, lines.of(unit, session), by)


def close_person(unit: Unit, person: str, until: Millis, by: str) -> None:
    """Close again what was opened in the name of `person` while a session that lived at that moment can have."""
    since = until - unit.system.settings.integer("identity.absolute_s") * SECOND
    for kind, lines in _BY_PERSON.items():
        start = lines.since(unit, since, person)
        _close(unit, person, kind, [one for one in lines.of(unit, person, start=start) if one.at <= until], by)


def close_late(unit: Unit, opening: audit.Entry) -> None:
    """Close again what this line opened, if its session, or one of what it rests on, was over by then."""
    rests = [opening]
    if opening.kind == HoldLifted.KIND:
        digest = str(opening.data["authority"])
        rests += _LOOKS.of(unit, str(opening.data["hold"]), end=opening.index)
        rests += _ANSWERS.of(unit, digest, end=opening.index) if digest else ()
    for act in rests:
        person = str(act.data[_OPENED[act.kind]])
        if ended(unit, person, act):
            _close(unit, person, act.kind, [act], ender(unit, act))


def _close(unit: Unit, person: str, kind: str, lines: Iterable[audit.Entry], by: str) -> None:
    for line in lines:
        session = str(line.data.get("session", ""))  # from before it was kept, or of the operator: as it was
        theirs = line.data.get(_OPENED[kind]) == person
        if not session or not theirs or not identity.disowned(unit, person, session, line.at):
            continue
        if kind == "identity.PersonThawed":
            _freeze(unit, line, by)
        elif kind == HoldLifted.KIND:
            if not line.data["authority"]:  # the committee's is lifted by its answers, whoever closes the motion
                _hold(unit, line, line, by)
        elif kind == HoldLookedAt.KIND:
            for lift in _LIFTS.of(unit, str(line.data["hold"])):
                _hold(unit, lift, line, by)
        elif line.data["choice"] != "against":
            for lift in _CARRIED.of(unit, str(line.data["digest"])):
                if not carries_still(unit, str(line.data["motion"]), str(line.data["digest"])):
                    _hold(unit, lift, line, by)


def _hold(unit: Unit, lift: audit.Entry, opening: audit.Entry, by: str) -> None:
    """Let a hold stand again, under an id of its own, which is the same whoever finds this.

    Whether it stands by now, and what it stops, is read from the log. Attack: plant a row with that id, which anybody
    can foretell, that says it was lifted, is on something else, or has other words.
    """
    old = str(lift.data["hold"])
    new = HoldId(made_id("hld", hashlib.sha256(f"closed again\n{old}".encode()).digest()))
    if ("again", new) in unit.memo:
        return
    unit.memo["again", new] = True
    if not was_placed(unit, new):
        stand(unit, _again(unit, lift, new))
    if not _told(unit, "hold", new):
        _say(unit, opening, "hold", str(lift.data["held"]), by, again=True, hold=new)


def _again(unit: Unit, lift: audit.Entry, new: HoldId) -> Hold:
    """The hold that was lifted, as its line tells of it; where that is owed still, it stops everything."""
    placed, subject = _PLACED.newest(unit, str(lift.data["hold"])), str(lift.data["held"])
    actions = tuple(placed.data["actions"]) if placed is not None else ()
    said = _reason(unit, placed) if placed is not None else ""
    if subject in policy.current(unit).lab.people:  # who left the lab since is silenced by that
        actions = may_stand(unit, SYSTEM, subject, actions)
    return Hold(
        id=new,
        subject=subject,
        kind=(placed or lift).data["kind"],
        reason=f"{WHY} {said}".strip()[:2_000],
        actions=actions,
        placed_by=SYSTEM.principal,
        at=unit.now,
    )


def _reason(unit: Unit, line: audit.Entry) -> str:
    """The reason that a line committed to; empty where its words are gone, or are not those."""
    try:
        said = audit.reveal(unit, line)["reason"]
    except WeighthouseError:
        return ""
    return said if isinstance(said, str) else ""


def _freeze(unit: Unit, thaw: audit.Entry, by: str) -> None:
    """Freeze a person again whom nobody has frozen or thawed since, by the log; not a member without whom nothing is
    decided. Attack: break or hide the person's row for this moment, so that they are frozen by all that it says."""
    person, newest = str(thaw.data["principal"]), _THAWS.newest(unit, str(thaw.data["principal"]))
    if newest is None or newest.index != thaw.index or ("frozen again", person) in unit.memo:
        return
    unit.memo["frozen again", person] = True
    frozen = _frozen_since(unit, person, thaw)
    if frozen not in ("", THAWED) or _told(unit, "opened", str(thaw.index)):
        return
    again = bool(frozen) or may_silence(unit, person)
    if again and not frozen:
        identity.freeze(unit, person, THAWED, by)
    _say(unit, thaw, "person", person, by, again=again)


def _frozen_since(unit: Unit, person: str, thaw: audit.Entry) -> str:
    """Why a person was frozen since that thaw; `THAWED` if it was for that, though the change failed that told of it
    and the line of the freeze was written alone. Empty if nobody froze them."""
    lines = _FREEZES.of(unit, person, start=thaw.index)
    if any(_reason(unit, one) in (THAWED, audit.OWED_WORDS[1]) for one in lines):
        return THAWED
    waiting = (one["principal"] for one in audit.on_its_way(unit, "identity.PersonFrozen"))
    return "otherwise" if lines or person in waiting else ""


def _told(unit: Unit, by: str, value: str) -> bool:
    waiting = (one[by] for one in audit.on_its_way(unit, OpeningFell.KIND))
    return _FELL[by].any(unit, value) or value in waiting


def _say(unit: Unit, opening: audit.Entry, what: str, about: str, by: str, *, again: bool, hold: str = "") -> None:
    line = OpeningFell(
        about=about,
        what=what,
        opened=str(opening.index),
        opened_by=str(opening.data[_OPENED[opening.kind]]),
        session=str(opening.data["session"]),
        again=again,
        hold=hold,
        by=by,
    )
    audit.append(unit, line)
