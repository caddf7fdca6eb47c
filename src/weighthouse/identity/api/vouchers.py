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

from weighthouse.core.work import Unit
from weighthouse.identity.api.sessions import disowned, disowned_lately
from weighthouse.identity.model import Device, Origin, PrincipalState, Voucher

OPERATOR = "system"


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


def taken_back(unit: Unit, state: PrincipalState, device: Device) -> str:
    """By what a key signs nothing, "enrol" or "restore": the session that was somebody else's. Empty if by none.

    Who lets a key count again has looked at it since: then its enrolment is not asked any more. Nor is it of one that
    fell, which never counts by itself.
    """
    restored = [one for one in state.vouchers if one.device == device.id and one.act == "restore"]
    if restored:
        return "" if any(stands(unit, one) for one in restored) else "restore"
    asked = device.session and device.id not in state.fell
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
    asked = bool(device.session) and device.id not in state.fell
    found = list(first["restore"].origins) if "restore" in first else [enrolled] * asked
    grown = first.get("confirm") or first.get("beside")
    found += grown.origins if grown else ()
    return tuple(dict.fromkeys(one for one in found if one.by != OPERATOR))
