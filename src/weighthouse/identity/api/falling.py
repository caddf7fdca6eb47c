"""Keys fall with the sessions that gave them, in writing. Guards a person's state from keeping a thief's gifts.

What counts is judged at every use (`vouchers`); this follows the log and writes down what is over: a key that was
enrolled in a session that was somebody else's is ended, one that was confirmed there waits again, one that was let
count again there is set aside again, and so is whatever such a key vouched for, each with its line. The sessions of a
key that fell, and those that it signed in, end with it as foreign ones (`never_theirs`), so that votes and ballots
given in them fall for good; so do those of a key that was enrolled, confirmed or let count again there, though it was
ended or retired since: a thief covers up so. Read twice, it finds nothing more to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.devices import counting, drop_device, never_theirs, read_back
from weighthouse.identity.api.ends import FOREIGN, KEY_FELL
from weighthouse.identity.api.new_keys import at_once, without_guardian
from weighthouse.identity.api.sessions import disowned, disowned_lately
from weighthouse.identity.api.states import change_state, state_of
from weighthouse.identity.api.vouchers import OPERATOR, stands, taken_back
from weighthouse.identity.events import DeviceConfirmed, DeviceEnrolled, KeyFellBack, KeysRestored
from weighthouse.identity.model import Device, PrincipalState, Voucher

KINDS = frozenset(
    {"identity.SessionEnded", "identity.SessionUsedElsewhere", "identity.Disowned", "identity.PersonFrozen"}
)
_ACTS = ("confirm", "restore", "beside")
_OF_DEVICE = [audit.Lines(one, by="device") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]
_FELL = audit.Lines(KeyFellBack.KIND)
ENROLLED = "it was enrolled in a session that was ended"
_ENROLLED_IN = audit.Lines(DeviceEnrolled.KIND, by="session")
_BY_SESSION = [audit.Lines(one, by="session") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]
_BY_PERSON = [audit.Lines(one, by="by") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]


def fall(unit: Unit, entry: audit.Entry) -> None:
    """Write down which keys fall with the end that this line tells of."""
    person, by = str(entry.data["principal"]), str(entry.data.get("by") or entry.data["principal"])
    if not person:  # ended by its id alone, since its row was hidden
        return
    session = "" if "sessions" in entry.data else str(entry.data.get("session", ""))
    _end_enrolled(unit, person, by)
    _disown_enrolled(unit, person, session, by)
    given = _given(unit, _BY_SESSION, session) if session else _given(unit, _BY_PERSON, person)
    for one in sorted(_reached(unit, _whose(given))):
        _fall_back(unit, one)
    for line in given:
        _disown_ended(unit, line)


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


def _end_enrolled(unit: Unit, person: str, by: str) -> None:
    for one in _readable(unit, person):
        if taken_back(unit, state_of(unit, person), one) == "enrol":
            drop_device(unit, person, one.id, ENROLLED, by=by, whose=FOREIGN, since=one.at)


def _disown_enrolled(unit: Unit, person: str, session: str, by: str) -> None:
    """Of a key that was enrolled in a disowned session and is over, what was done with it is disowned as well."""
    lines = _ENROLLED_IN.of(unit, session) if session else ()
    if not lines or not disowned(unit, person, session, unit.now):
        return
    for line in lines:
        with suppress(WeighthouseError):  # a record that is not believed lets no key count
            if line.data["principal"] == person and line.subject not in state_of(unit, person).devices:
                never_theirs(unit, person, line.subject, line.at, by, over=True)


def _disown_ended(unit: Unit, line: audit.Entry) -> None:
    """Of a key that is over, what let it count is in the log alone. If that was said in a session which was somebody
    else's, and nobody else said it, what was done with the key since is disowned as of one that falls."""
    person, device = str(line.data["principal"]), str(line.data.get("device", ""))
    if not device or at_once(unit.system) or _said(unit, line):
        return
    with suppress(WeighthouseError):  # a record that is not believed lets no key count
        state = state_of(unit, person)
        if device in (*state.devices, *state.suspended):
            return
        if not any(_said(unit, one) for lines in _OF_DEVICE for one in lines.of(unit, device)):
            since = _since(unit, device, line.at)
            never_theirs(unit, person, device, since, "system", reason=KEY_FELL, over=True)


def _since(unit: Unit, device: str, known: Millis) -> Millis:
    """From when on a key that counts no more let somebody act: since the first word for it that does not stand.

    Attack: confirm a key in two stolen sessions. When the first is ended the other still stands, so its voucher goes
    and nothing that the key did is taken back yet; when the second is, the log alone knows when it began.
    """
    words = (one.at for lines in _OF_DEVICE for one in lines.of(unit, device) if not _said(unit, one))
    waiting = (one for one in audit.on_its_way(unit, KeyFellBack.KIND) if one["device"] == device)
    fell = (int(one.get("since", 0)) for one in (*waiting, *(line.data for line in _FELL.of(unit, device))))
    return min([known, *words, *(one for one in fell if one)])


def _said(unit: Unit, line: audit.Entry) -> bool:
    """Whether who let a key count by this line was themselves, by all that is known."""
    by, session = str(line.data["by"]), str(line.data.get("session", ""))
    return by == OPERATOR or not disowned_lately(unit, by, session, line.at)


def _readable(unit: Unit, person: str) -> Iterable[Device]:
    try:
        devices = state_of(unit, person).devices
    except WeighthouseError:  # a record that is not believed lets no key count
        return
    for one in devices:
        try:
            yield read_back(unit, one)
        except WeighthouseError:
            continue


def _fall_back(unit: Unit, person: str) -> None:
    """Take the vouchers that stand no more out of a person's state, and what rests on them alone: the keys, and what
    was done in the sessions that are bound to them since."""
    try:
        state = state_of(unit, person)
    except WeighthouseError:
        return
    fallen = [one for one in state.vouchers if not stands(unit, one)]
    if not fallen:
        return
    left = change_state(unit, person, lambda now: without(unit, now, fallen))
    lost = _lost(left, fallen)
    over = _over(unit, left, lost)
    told: set[tuple[str, str, str]] = {(one.device, one.act, one.by) for one in fallen if one.act != "beside"}
    told |= {(one, "beside", person) for one in (over | lost["beside"]) - {device for device, _, _ in told}}
    began = {one.device: one.at for one in sorted(fallen, key=lambda one: -one.at)}
    for device, act, by in sorted(told):  # with when it began, for whoever ends what still lets it count
        audit.append(unit, KeyFellBack(device=device, principal=person, act=act, by=by, since=began[device]))
    for device in sorted(over):
        since = _since(unit, device, began[device])
        never_theirs(unit, person, device, since, "system", reason=KEY_FELL)


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
