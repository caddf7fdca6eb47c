"""What keys rest on: which session enrolled each, and who let it count. Guards what they sign from a thief.

A key outlives the session in which it was enrolled, confirmed or let count again. So each of these keeps the session
and the moment, in the person's sealed state or under the key's certificate, and counts while that is not disowned: a
key that was enrolled, or let count again, in a session that was somebody else's signs nothing; one that was confirmed
there waits again. Confirmations and keys from before this was kept stand as they did.
"""

from __future__ import annotations

import msgspec

from weighthouse.core.work import Unit
from weighthouse.identity.api.sessions import disowned
from weighthouse.identity.model import Device, PrincipalState, Voucher


def with_voucher(state: PrincipalState, voucher: Voucher) -> PrincipalState:
    """The state with this voucher in the place of an earlier one of the same person for the same."""
    mine = (voucher.device, voucher.act, voucher.by)
    kept = tuple(one for one in state.vouchers if (one.device, one.act, one.by) != mine)
    return msgspec.structs.replace(state, vouchers=(*kept, voucher))


def stands(unit: Unit, voucher: Voucher) -> bool:
    """Whether who vouched was themselves, by all that is known. The operator of the machine has no session."""
    return voucher.by == "system" or not disowned(unit, voucher.by, voucher.session, voucher.at)


def is_confirmed(unit: Unit, state: PrincipalState, device: str) -> bool:
    """Whether somebody vouches for a key still; to let it count again is to vouch for it, too."""
    mine = [one for one in state.vouchers if one.device == device]
    if any(stands(unit, one) for one in mine):
        return True
    return device in state.confirmed and not any(one.act == "confirm" for one in mine)


def taken_back(unit: Unit, state: PrincipalState, device: Device) -> str:
    """By what a key signs nothing, "enrol" or "restore": the session that was somebody else's. Empty if by none.

    Who lets a key count again has looked at it since: then its enrolment is not asked any more.
    """
    restored = [one for one in state.vouchers if one.device == device.id and one.act == "restore"]
    if restored:
        return "" if any(stands(unit, one) for one in restored) else "restore"
    return "enrol" if device.session and disowned(unit, device.person, device.session, device.at) else ""
