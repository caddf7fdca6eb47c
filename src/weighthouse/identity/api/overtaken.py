"""Keys whose gift came after the end of what gave it. Guards from acts that won the race against the end by a moment.

An act under way is refused at its commit once its session, or the key that signed it, has ended. One that committed
in that very moment, or at a server that had not heard of the end, has a line that comes after that of the end. So the
lines of enrolling, confirming and restoring keys are looked at as well as those of ends, and those of what keys sign:
the session in which an ended key signs, after it was ended as stolen, ends as those do in which it signed before.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core import ids
from weighthouse.core.work import Unit
from weighthouse.identity.api.ends import FOREIGN, KEY_ENDED, KEY_FELL
from weighthouse.identity.api.falling import fall
from weighthouse.identity.api.key_past import Pasts, grows
from weighthouse.identity.api.key_sessions import SIGNED
from weighthouse.identity.api.new_keys import at_once
from weighthouse.identity.api.redoing import carrying_out, disown, is_disowned
from weighthouse.identity.api.sessions import ended_by_another, over_for_good
from weighthouse.identity.api.vouchers import OPERATOR
from weighthouse.identity.events import DeviceConfirmed, DeviceEnded, DeviceEnrolled, KeysRestored, SessionEnded

_GIVEN = frozenset({DeviceEnrolled.KIND, DeviceConfirmed.KIND, KeysRestored.KIND})
KINDS = _GIVEN | frozenset(SIGNED)
_SESSIONS, _DEVICES = audit.Lines(SessionEnded.KIND), audit.Lines(DeviceEnded.KIND)


def late(unit: Unit, entry: audit.Entry) -> None:
    """Let this gift of a key fall, or end the session in which a key signed, if what it rests on was over by then."""
    carrying_out(unit, entry.index)
    session = str(entry.data.get("session", ""))
    if not session:
        return
    if entry.kind in SIGNED:
        _signed(unit, entry, session)
        return
    person = str(entry.data["principal" if entry.kind == DeviceEnrolled.KIND else "by"])
    if person != OPERATOR and ended_by_another(unit, session, person):
        ended = _SESSIONS.newest(unit, session)
        by = str(ended.data["by"]) if ended is not None else "system"
        fall(unit, msgspec.structs.replace(entry, data={"principal": person, "session": session, "by": by}))


def _fell_under_way(unit: Unit, person: str, device: str, entry: audit.Entry) -> bool:
    """Whether a key that signed counted by nothing any more in this line: what let it count fell under way."""
    past = Pasts(unit, person, only=device).said(device)
    if past is not None and past.grown_alone(entry.index, entry.at, grows(unit.system)):
        past = Pasts(unit, person).of(device)  # which asks about the others as well, so for few votes alone
    if past is None:
        return False
    waited = past.waited(entry.index, entry.at) and not at_once(unit.system)
    return waited or past.fell(entry.index, entry.at)


def _signed(unit: Unit, entry: audit.Entry, session: str) -> None:
    """After the line of the end alone: what was signed before was looked at when the key was ended."""
    person, device = str(entry.data[SIGNED[entry.kind]]), str(entry.data.get("device", ""))
    if not device or is_disowned(unit, person, session) or not ids.is_id(session, "ses"):
        return  # what never was a session keeps nobody from reading on
    if not over_for_good(unit, device):
        if _fell_under_way(unit, person, device, entry):
            disown(unit, person, session, KEY_FELL, "system")
        return
    for ended in _DEVICES.of(unit, device, end=entry.index):
        stolen = ended.data.get("whose") == FOREIGN and ended.data["principal"] == person
        if stolen and entry.at >= int(ended.data.get("since", 0)):
            disown(unit, person, session, KEY_ENDED, str(ended.data["by"]))
            return
