"""Keys fall with the sessions that gave them, in writing. Guards a person's state from keeping a thief's gifts.

What counts is judged at every use (`vouchers`); this follows the log and writes down what is over: a key that was
enrolled in a session that was somebody else's is ended, one that was confirmed there waits again, one that was let
count again there is set aside again, each with its line. Read twice, it finds nothing more to do.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.devices import drop_device, read_back
from weighthouse.identity.api.states import change_state, state_of
from weighthouse.identity.api.vouchers import stands, taken_back
from weighthouse.identity.events import DeviceConfirmed, KeyFellBack, KeysRestored
from weighthouse.identity.model import Device, PrincipalState

KINDS = frozenset(
    {"identity.SessionEnded", "identity.SessionUsedElsewhere", "identity.Disowned", "identity.PersonFrozen"}
)
_ACTS = ("confirm", "restore")
ENROLLED = "it was enrolled in a session that was ended"
_BY_SESSION = [audit.Lines(one, by="session") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]
_BY_PERSON = [audit.Lines(one, by="by") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]


def fall(unit: Unit, entry: audit.Entry) -> None:
    """Write down which keys fall with the end that this line tells of."""
    person, by = str(entry.data["principal"]), str(entry.data.get("by") or entry.data["principal"])
    if not person:  # ended by its id alone, since its row was hidden
        return
    _end_enrolled(unit, person, by)
    session = "" if "sessions" in entry.data else str(entry.data.get("session", ""))
    of, named = (_BY_SESSION, session) if session else (_BY_PERSON, person)
    lines = (one.of(unit, named) for one in of)
    touched = {str(line.data["principal"]) for found in lines for line in found}
    for one in sorted(touched):
        _fall_back(unit, one)


def _end_enrolled(unit: Unit, person: str, by: str) -> None:
    for one in _readable(unit, person):
        if taken_back(unit, state_of(unit, person), one) == "enrol":
            drop_device(unit, person, one.id, ENROLLED, by=by)


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
    """Take the vouchers that stand no more out of a person's state, and what rests on them alone."""
    try:
        state = state_of(unit, person)
    except WeighthouseError:
        return
    fallen = [one for one in state.vouchers if not stands(unit, one)]
    if not fallen:
        return

    def without(state: PrincipalState) -> PrincipalState:
        left = tuple(one for one in state.vouchers if one not in fallen)
        held = {(one.device, one.act) for one in left}
        gone = {(one.device, one.act) for one in fallen} - held
        lost = {act: {device for device, what in gone if what == act} for act in _ACTS}
        aside = tuple(one for one in state.devices if one in lost["restore"])
        return msgspec.structs.replace(
            state,
            vouchers=left,
            confirmed=tuple(one for one in state.confirmed if one not in lost["confirm"]),
            devices=tuple(one for one in state.devices if one not in aside),
            suspended=(*state.suspended, *aside),
            grown=(*state.grown, *aside),
        )

    change_state(unit, person, without)
    for one in fallen:
        audit.append(unit, KeyFellBack(device=one.device, principal=person, act=one.act, by=one.by))
