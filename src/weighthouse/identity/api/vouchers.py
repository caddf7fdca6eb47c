"""What keys rest on: which session enrolled each, and who let it count. Guards what they sign from a thief.

A key outlives the session in which it was enrolled, confirmed or let count again. So each of these keeps the session
and the moment, in the person's sealed state or under the key's certificate, and counts while that is not disowned: a
key that was enrolled, or let count again, in a session that was somebody else's signs nothing; one that was confirmed
there, or grew up under the eyes of a key that counted by such a session, waits again. A key vouches for others with
all that it rests on itself, to the first, so a whole chain falls with any link. Confirmations and keys from before
this was kept stand as they did.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, Unit
from weighthouse.identity.api.ends import FOREIGN
from weighthouse.identity.api.key_sessions import EnrolledKey
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.sessions import disowned, disowned_lately
from weighthouse.identity.events import DeviceConfirmed, KeysRestored, SessionEnded
from weighthouse.identity.model import Device, Origin, PrincipalState, Voucher

OPERATOR = "system"
_WORDS = [audit.Lines(one, by="device") for one in (DeviceConfirmed.KIND, KeysRestored.KIND)]


def with_voucher(state: PrincipalState, *vouchers: Voucher) -> PrincipalState:
    """The state with these vouchers too; of two that somebody gives for the same, in one session and by one key, the
    earlier stays, for what rests on it."""
    kept = {
        (one.device, one.act, one.by, one.key, one.session): one for one in (*reversed(vouchers), *state.vouchers)
    }
    return msgspec.structs.replace(state, vouchers=tuple(kept.values()))


def stands(unit: Unit, voucher: Voucher) -> bool:
    """Whether who vouched was themselves, by all that is known, and so was everybody whom their key rested on."""
    return not any(_fallen(unit, one) for one in voucher.origins)


def _fallen(unit: Unit, origin: Origin) -> bool:
    """The operator of the machine has no session."""
    return origin.by != OPERATOR and disowned_lately(unit, origin.by, origin.session, origin.at)


def is_confirmed(unit: Unit, state: PrincipalState, device: str) -> bool:
    """Whether somebody vouches for a key still; to let it count again is to vouch for it, too."""
    mine = [one for one in state.vouchers if one.device == device and one.act != "beside"]
    if any(stands(unit, one) for one in mine):
        return True
    return device in state.confirmed and not any(one.act == "confirm" for one in mine)


def is_watched(unit: Unit, state: PrincipalState, device: str) -> bool:
    """Whether a key that grows up by itself was enrolled beside one that counted, and rightly. Where that was not
    kept yet, the list of first keys alone says so."""
    watching = [one for one in state.vouchers if one.device == device and one.act == "beside"]
    return not watching or any(stands(unit, one) for one in watching)


def learn_said(system: System, entry: audit.Entry) -> None:
    """Remember the line in which somebody, and not this program by itself, says that a session was a thief's."""
    said = entry.kind == SessionEnded.KIND and entry.data["by"] != SYSTEM.principal
    if said and entry.data.get("whose") == FOREIGN:
        memory(system).raise_version(_said(entry.subject), entry.index + 1)


def _said(session: str) -> str:
    return f"line that says of {session}"


def asked_anew(unit: Unit, session: str, device: str) -> bool:
    """Whether somebody has said since the last word for a key that the session which enrolled it was stolen.

    Attack: have the session of who confirmed a stolen key ended first: the key falls, is kept by whoever vouches for
    it, and the word of its own person, which comes later, would find nothing to ask. That word is remembered outside
    the database, so that no row need be there to be told of it; what was vouched for after it stays.
    """
    said = memory(unit.system).version(_said(session))
    try:
        return said > 0 and not any(lines.of(unit, device, start=said) for lines in _WORDS)
    except WeighthouseError:  # a log in doubt lets no key count
        return True


def _asked(unit: Unit, state: PrincipalState, device: Device | EnrolledKey) -> bool:
    """Whether the session that enrolled a key is asked still: not of one that fell, and never counts by itself."""
    kept = device.id in state.fell and not asked_anew(unit, device.session, device.id)
    return bool(device.session) and not kept


def taken_back(unit: Unit, state: PrincipalState, device: Device | EnrolledKey) -> str:
    """By what a key signs nothing, "enrol" or "restore": the session that was somebody else's. Empty if by none.

    Who lets a key count again has looked at it since: then its enrolment is not asked any more.
    """
    restored = [one for one in state.vouchers if one.device == device.id and one.act == "restore"]
    if restored:
        return "" if any(stands(unit, one) for one in restored) else "restore"
    asked = _asked(unit, state, device)
    return "enrol" if asked and disowned(unit, device.person, device.session, device.at) else ""


def rests_on(unit: Unit, state: PrincipalState, device: Device) -> tuple[Origin, ...]:
    """All that a key which counts rests on: its enrolment, or who let it count again since, and the eldest of what
    confirms it, or watched it grow, each with what that rests on."""
    mine = sorted((one for one in state.vouchers if one.device == device.id), key=lambda one: one.at)
    first = dict[str, Voucher]()
    for one in mine:
        if stands(unit, one):
            first.setdefault(one.act, one)
    enrolled = Origin(by=device.person, session=device.session, at=device.at)
    found = list(first["restore"].origins) if "restore" in first else [enrolled] * _asked(unit, state, device)
    grown = first.get("confirm") or first.get("beside")
    found += grown.origins if grown else ()
    return tuple(dict.fromkeys(one for one in found if one.by != OPERATOR))
