"""Keys fall with the sessions that gave them, in writing. Guards a person's state from keeping a thief's gifts.

What counts is judged at every use (`vouchers`); this follows the log and writes down what is over: a key that was
enrolled in a session that was somebody else's is ended, one that was confirmed there waits again, one that was let
count again there is set aside again, and so is whatever such a key vouched for, each with its line. The sessions of a
key that fell end with it as foreign ones (`never_theirs`).

What was done with a key falls by what stood when it was done (`key_past`), so that votes and ballots given then, and
what was opened, fall for good: though the key counts by another word now, or was ended, retired or set aside since,
and in whichever order the ends come: a thief covers up so. Read twice, it finds nothing more to do; so what a row hid
at the first time is done at the next (`redoing`), and which keys there are to end is told by the log.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.devices import counting, drop_device, key_as_known, never_theirs
from weighthouse.identity.api.ends import FOREIGN, KEY_FELL
from weighthouse.identity.api.key_past import ENROL, FELL, Past, Pasts, is_said
from weighthouse.identity.api.key_sessions import EnrolledKey, done_with, enrolled_by
from weighthouse.identity.api.learning import learn
from weighthouse.identity.api.new_keys import let_wait, without_guardian
from weighthouse.identity.api.redoing import carrying_out, disown, is_disowned, unread
from weighthouse.identity.api.sessions import ended_by_another, over_for_good
from weighthouse.identity.api.states import change_state, lock, state_of
from weighthouse.identity.api.vouchers import stands, taken_back
from weighthouse.identity.events import (
    DeviceConfirmed,
    DeviceEnded,
    DeviceEnrolled,
    KeyFellBack,
    KeysRestored,
    SessionStarted,
)
from weighthouse.identity.model import PrincipalState, Voucher

KINDS = frozenset(
    {"identity.SessionEnded", "identity.SessionUsedElsewhere", "identity.Disowned", "identity.PersonFrozen"}
)
_ACTS = ("confirm", "restore", "beside")
ENROLLED = "it was enrolled in a session that was ended"
_ENROLLED_IN = audit.Lines(DeviceEnrolled.KIND, by="session")
_STARTED = audit.Lines(SessionStarted.KIND)
_ENDED_OF = audit.Lines(DeviceEnded.KIND, by="principal")
_WORDS_FOR = [audit.Lines(one, by="principal") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]
_BY_SESSION = [audit.Lines(one, by="session") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]
_BY_PERSON = [audit.Lines(one, by="by") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]


def fall(unit: Unit, entry: audit.Entry) -> None:
    """Write down which keys fall with the end that this line tells of, and take back what was done with them."""
    carrying_out(unit, entry.index)
    session = "" if "sessions" in entry.data else str(entry.data.get("session", ""))
    person = str(entry.data["principal"]) or _whose_session(unit, session)
    if not person:
        return
    by = str(entry.data.get("by") or person)
    if entry.kind in KINDS:  # what this server has not heard of yet, no row need tell it
        learn(unit.system, [entry])
    _end_enrolled(unit, person, session, by)
    given = _given(unit, _BY_SESSION, session) if session else _given(unit, _BY_PERSON, person)
    doubted = {one for one in sorted(_reached(unit, _whose(given))) if _fall_back(unit, one)}
    doubted |= _whose([line for line in given if not is_said(unit, line)])
    if session and _ENROLLED_IN.any(unit, session) and ended_by_another(unit, session, person):
        doubted.add(person)
    for one in sorted(doubted):
        _take_back(unit, one, by)


def _whose_session(unit: Unit, session: str) -> str:
    """Whose a session is that was ended by its id alone, since its row was hidden."""
    begun = _STARTED.newest(unit, session) if session else None
    return str(begun.data["principal"]) if begun is not None else ""


def _given(unit: Unit, lines: list[audit.Lines], value: str) -> list[audit.Entry]:
    return [line for one in lines for line in one.of(unit, value)]


def _whose(lines: list[audit.Entry]) -> set[str]:
    return {str(line.data["principal"]) for line in lines}


def _reached(unit: Unit, given: set[str]) -> set[str]:
    """Everybody whose keys may rest on what was given to these: what their keys vouched for, and so on."""
    found, left = set[str](), set(given)
    while left:
        one = left.pop()
        found.add(one)
        left |= _whose(_given(unit, _BY_PERSON, one)) - found
    return found


def _end_enrolled(unit: Unit, person: str, session: str, by: str) -> None:
    """End the keys of a person that were enrolled in a session that was somebody else's: those that their record
    lists, and those that the log says were enrolled in this one, whichever rows there are."""
    try:
        listed = state_of(unit, person)
    except WeighthouseError:
        unread(unit, person)
        return
    told = [one.id for one in _enrolled_in(unit, person, session)]
    over = {*listed.devices, *listed.suspended, *(_ended(unit, person) if told else ())}
    others = [one for one in told if one not in over and not over_for_good(unit, one)]
    for one in (*listed.devices, *others):
        key = key_as_known(unit, person, one)
        if key is None:
            unread(unit, person)
        elif taken_back(unit, state_of(unit, person), key) == "enrol":
            lock(unit, person)  # the timer may carry out the same line again just now
            if one in others or one in state_of(unit, person).devices:
                drop_device(unit, person, one, ENROLLED, by=by, whose=FOREIGN, since=key.at)


def _enrolled_in(unit: Unit, person: str, session: str) -> list[EnrolledKey]:
    """The keys that somebody enrolled in a session of a person, by the log."""
    lines = _ENROLLED_IN.of(unit, session) if session else ()
    return [enrolled_by(line) for line in lines if line.data["principal"] == person]


def _ended(unit: Unit, person: str) -> set[str]:
    """The keys of a person whose end the log tells."""
    waiting = {str(one["device"]) for one in audit.on_its_way(unit, DeviceEnded.KIND)}
    return waiting | {line.subject for line in _ENDED_OF.of(unit, person)}


def _take_back(unit: Unit, person: str, by: str) -> None:
    """Disown what was done with any key of a person, while it rested on nothing but what is disowned by now: whatever
    became of the key since, and in whichever order that was found out."""
    pasts = Pasts(unit, person)
    for past in pasts.all():
        if past.doubted:
            _disown_over(unit, past, pasts.end_of(past.enrolled.subject), by)
            _disown_done(unit, past)


def _disown_over(unit: Unit, past: Past, end: audit.Entry | None, by: str) -> None:
    """Of a key that is over, and was never rightly its person's until then, all is disowned that it can have done."""
    person, device = str(past.enrolled.data["principal"]), past.enrolled.subject
    if past.stolen and not past.looked_at:
        if device not in _listed(unit, person):
            never_theirs(unit, person, device, past.enrolled.at, by, over=True)
    elif end is not None and past.fell(end.index, end.at):
        since = past.since(past.enrolled.at, unit.now)
        never_theirs(unit, person, device, since, "system", reason=KEY_FELL, over=True)


def _disown_done(unit: Unit, past: Past) -> None:
    """Disown each session in which something was given with a key that did not rightly count just then."""
    key = enrolled_by(past.enrolled)
    for line in done_with(unit, key):
        session = str(line.data["session"])
        if not past.fell(line.index, line.at) or is_disowned(unit, key.person, session):
            continue
        if session == key.session and past.vouched and key.id in _listed(unit, key.person):
            _keep(unit, key, line)
        disown(unit, key.person, session, KEY_FELL, "system")


def _keep(unit: Unit, key: EnrolledKey, line: audit.Entry) -> None:
    """Let a key count on though the session that enrolled it is disowned for what was done with it there: whoever
    vouches for it now has looked at it since, as when it falls and is confirmed anew."""

    def kept(state: PrincipalState) -> PrincipalState:
        return msgspec.structs.replace(state, fell=(*state.fell, key.id))

    change_state(unit, key.person, kept)
    session = (key.session,)
    told = KeyFellBack(device=key.id, principal=key.person, act=ENROL, by=key.person, since=line.at, sessions=session)
    _tell(unit, told)


def _tell(unit: Unit, line: KeyFellBack) -> None:
    unit.memo.setdefault((FELL, line.device), []).append(msgspec.structs.asdict(line))
    audit.append(unit, line)


def _listed(unit: Unit, person: str) -> tuple[str, ...]:
    with suppress(WeighthouseError):  # a record that is not believed lets no key count
        return state_of(unit, person).devices
    return ()


def _fall_back(unit: Unit, person: str) -> bool:
    """Take the vouchers that stand no more out of a person's state, and what rests on them alone: the keys, and the
    sessions that are bound to them since. Return whether there were any that are known."""
    try:
        state = state_of(unit, person)
    except WeighthouseError:
        unread(unit, person)
        for word in _given(unit, _WORDS_FOR, person):
            let_wait(unit, str(word.data.get("device", "")))
        return False
    if all(stands(unit, one) for one in state.vouchers):
        return False
    lock(unit, person)  # the timer may carry out the same line again just now
    fallen = [one for one in state_of(unit, person).vouchers if not stands(unit, one)]
    left, pasts = change_state(unit, person, lambda now: without(unit, now, fallen)), Pasts(unit, person)
    lost = _lost(left, fallen)
    over = _over(unit, left, lost)
    told: set[tuple[str, str, str]] = {(one.device, one.act, one.by) for one in fallen if one.act != "beside"}
    told |= {(one, "beside", person) for one in (over | lost["beside"]) - {device for device, _, _ in told}}
    began = {one.device: one.at for one in sorted(fallen, key=lambda one: -one.at)}
    since = {one: past.since(began[one], unit.now) if (past := pasts.of(one)) else began[one] for one in over}
    for device, act, by in sorted(told):  # with when and where, for what still lets it count may fall later
        where = sorted({one.session for one in fallen if (one.device, one.act, one.by) == (device, act, by)})
        line = KeyFellBack(device=device, principal=person, act=act, by=by, since=began[device])
        _tell(unit, msgspec.structs.replace(line, sessions=tuple(where), waits=device in over))
    for device in sorted(over):
        never_theirs(unit, person, device, since[device], "system", reason=KEY_FELL)
    return True


def _lost(left: PrincipalState, fallen: list[Voucher]) -> dict[str, set[str]]:
    """The devices that have nobody left for each act."""
    held = {(one.device, one.act) for one in left.vouchers}
    return {act: {one.device for one in fallen if one.act == act and (one.device, act) not in held} for act in _ACTS}


def _over(unit: Unit, left: PrincipalState, lost: dict[str, set[str]]) -> set[str]:
    """Those of them that count by nothing else."""
    return set[str]().union(*lost.values()) - counting(unit, left)


def without(unit: Unit, state: PrincipalState, fallen: list[Voucher]) -> PrincipalState:
    """The state without these vouchers: what was let count again is aside, what was confirmed or grew up by them
    waits for somebody and never grows up by itself, and so does all that grows where no key counts now."""
    left = msgspec.structs.replace(state, vouchers=tuple(one for one in state.vouchers if one not in fallen))
    lost = _lost(left, fallen)
    aside = tuple(one for one in state.devices if one in lost["restore"])
    left = msgspec.structs.replace(
        left,
        confirmed=tuple(one for one in state.confirmed if one not in lost["confirm"]),
        first=(*state.first, *sorted(lost["beside"] - {*state.first})),
        devices=tuple(one for one in state.devices if one not in aside),
        suspended=(*state.suspended, *aside),
        grown=(*state.grown, *aside),
    )
    fell = _over(unit, left, lost) & {*left.devices}
    left = msgspec.structs.replace(
        left,
        first=(*left.first, *sorted(fell - {*left.first})),
        fell=(*left.fell, *sorted(fell - {*left.fell})),
        vouchers=tuple(one for one in left.vouchers if one.act != "beside" or one.device not in fell),
    )
    return left if counting(unit, left) else without_guardian(left)
