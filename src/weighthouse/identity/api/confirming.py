"""Confirming new keys. Guards what keys sign from a confirmation that is used again once it was taken back.

Whoever sees a request, or had a machine for a minute, has the signature that it carried. So what a key signs to
confirm another names the moment, is taken within minutes of it, and once in the whole lab, like every other act that
opens something (`openings`).
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.acts import require_act
from weighthouse.identity.api.addressed import audience
from weighthouse.identity.api.devices import device, read_back, verify_device_signature
from weighthouse.identity.api.once import first_opening
from weighthouse.identity.api.openings import check_made_now, stale
from weighthouse.identity.api.states import change_state, state_of
from weighthouse.identity.api.vouchers import OPERATOR, rests_on, with_voucher
from weighthouse.identity.events import DeviceConfirmed, KeyNotConfirmed
from weighthouse.identity.model import Act, Device, KeySignature, PrincipalState, Voucher


def confirmation(device: Device, *, audience: str, by: str, at: Millis) -> bytes:
    """What the key `by` signs to confirm `device` here: an older one of the same person, or a grown one of a second.

    Without an audience it is what was signed before servers were named, and is taken no more.
    """
    said = {"type": f"weighthouse/confirm-key/{3 if audience else 2}", "person": device.person, "device": device.id}
    named = {"audience": audience} if audience else {}
    return encode({**said, **named, "thumbprint": device.thumbprint, "by": by, "at": at})


def confirm_own_key(unit: Unit, caller: Caller, device_id: str, *, signed: KeySignature) -> None:
    """Confirm the caller's new key with an older one of theirs, which signs `confirmation` of it.

    Raises as `confirm_others_key` does.
    """
    found = device(unit, device_id)
    if found.person != caller.principal or signed.device == device_id:
        raise NotFound("identity.device_unknown", "There is no such device.", "Pick one from your devices.")
    _confirm(unit, caller, found, signed, f"by the older key {signed.device}")


def confirm_others_key(unit: Unit, caller: Caller, device_id: str, *, of: str, signed: KeySignature) -> None:
    """Confirm the new key of another person, as the second one; whether the caller may is judged above this room.

    A grown key of the caller signs `confirmation`: a session and a factor alone both come from the identity provider,
    so whoever runs that could be both people at once. Raises `identity.signature_stale`, `identity.key_young` and the
    others of `verify_device_signature`, each with one line.
    """
    found = device(unit, device_id)
    if found.person != of:
        raise NotFound("identity.device_unknown", "This person has no such device.", "Ask them for its id.")
    if caller.principal == found.person or caller.account == found.account:
        raise Denied(
            "identity.key_of_oneself",
            "Nobody is the second person for their own key.",
            "Confirm it with an older key of yours, or ask somebody who may freeze people.",
        )
    _confirm(unit, caller, found, signed, f"by the key {signed.device} of a second person")


def _confirm(unit: Unit, caller: Caller, found: Device, signed: KeySignature, how: str) -> None:
    try:
        check_made_now(unit, caller, signed)
        said, before = (
            confirmation(found, audience=one, by=signed.device, at=signed.at) for one in (audience(unit.system), "")
        )
        verify_device_signature(unit, signed.device, caller.principal, said, signed.value, before=before)
        require_act(unit, caller, Act(type="device.confirm", subject=found.thumbprint))
        about = Act(type="device.confirm", subject=f"{found.person}/{found.thumbprint}")
        if not first_opening(unit, signed, caller, about):
            raise stale("This signature, or a later one by the same key, has opened or confirmed something already.")
    except WeighthouseError as error:
        if not error.record:  # the exception's own line, if it brings one, tells it already
            line = KeyNotConfirmed(device=found.id, principal=found.person, by=caller.principal, code=error.code)
            error.record = (line,)
        raise
    session = str(caller.session or "")
    mark_confirmed(unit, found, caller.principal, how, session=session, key=signed.device)


def confirm_first_key(unit: Unit, person: str, device_id: str, *, mark: str, reason: str) -> None:
    """Confirm a key as whoever has the keys of this machine, since nobody has a grown key yet who could.

    `mark` is its thumbprint as its owner reads it: a key that the database names in its place is not confirmed.
    """
    visible.check(reason, "The reason")
    found = device(unit, device_id)
    if found.person != person or found.thumbprint != mark:
        raise NotFound(
            "identity.device_unknown",
            "This person has no such device with this key.",
            "Ask them to read both from `weighthouse devices` on their machine.",
        )
    mark_confirmed(unit, found, OPERATOR, f"by the operator of this machine: {reason}")


def mark_confirmed(unit: Unit, device: Device, by: str, how: str, *, session: str = "", key: str = "") -> None:
    """Write a live key into its person's sealed state as confirmed, in this session and by this key of `by`, with all
    that it rests on itself, and its line; who may is judged before."""
    rests = rests_on(unit, state_of(unit, by), read_back(unit, key)) if key else ()
    told = Voucher(device=device.id, act="confirm", by=by, session=session, at=unit.now, key=key, rests=rests)

    def confirmed(state: PrincipalState) -> PrincipalState:
        if device.id not in state.devices:
            raise NotFound("identity.device_unknown", "This device has been ended.", "Pick a live one.")
        others = (one for one in state.confirmed if one != device.id)
        return with_voucher(msgspec.structs.replace(state, confirmed=(*others, device.id)), told)

    change_state(unit, device.person, confirmed)
    audit.append(unit, DeviceConfirmed(device=device.id, principal=device.person, by=by, how=how, session=session))
