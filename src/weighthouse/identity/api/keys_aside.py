"""Keys that were set aside. Guards from a key that a thief enrolled, and that would grow up where nobody looks at it.

To set keys aside pauses what they may and never their growing up: one that did not count yet is ended for good. What
security lets count again is one key, named with its person in the factor and in the signature, never "theirs".
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.work import Unit
from weighthouse.identity.api.devices import counting, drop_device, read_back
from weighthouse.identity.api.openings import require_opening
from weighthouse.identity.api.sessions import over_for_good
from weighthouse.identity.api.states import change_state, state_of
from weighthouse.identity.api.vouchers import rests_on, taken_back, with_voucher
from weighthouse.identity.events import KeysRestored, OpeningRefused
from weighthouse.identity.model import Act, Device, KeySignature, PrincipalState, Voucher

YOUNG = "it did not count yet when everything of its person was stopped"


def set_keys_aside(unit: Unit, person: str, by: str) -> int:
    """Set every key of a person aside that counts, end the others, those of before too; return how many are aside.

    Call it in a unit that has changed the state before, which is locked then.
    """
    state = state_of(unit, person)
    counted = counting(unit, state, before=True)
    for one in (*state.devices, *state.suspended):
        if one not in counted and not _counted(state, one):
            drop_device(unit, person, one, YOUNG, by=by)

    def aside(state: PrincipalState) -> PrincipalState:
        return msgspec.structs.replace(
            state,
            devices=(),
            suspended=(*state.suspended, *state.devices),
            grown=(*state.grown, *state.devices),
            vouchers=tuple(one for one in state.vouchers if one.act != "restore"),  # each is let count anew
        )

    change_state(unit, person, aside)
    return len(counted)


def _counted(state: PrincipalState, device: str) -> bool:
    """Whether a key that is aside counted before. Where that was not kept yet, its confirmation says so."""
    return device in state.suspended and device in (*state.grown, *state.confirmed)


def keys_aside(unit: Unit, person: str) -> list[Device]:
    """Return a person's keys that were set aside and may count again, oldest first."""
    state, found = state_of(unit, person), list[Device]()
    for one in (*state.suspended, *state.devices):
        with suppress(WeighthouseError):  # hidden or edited: nobody can be shown what it is
            waits = _counted(state, one) or _falsely_restored(unit, state, one)
            if waits and not over_for_good(unit, one):
                found.append(read_back(unit, one))
    return found


def _falsely_restored(unit: Unit, state: PrincipalState, device: str) -> bool:
    """Whether a key was let count again by whoever held a session that was not theirs: it is aside as before."""
    return device in state.devices and taken_back(unit, state, read_back(unit, device)) == "restore"


def gone_by_rule(unit: Unit, person: str, device_id: str) -> bool:
    """Whether this key of the person signs nothing for a reason that their sealed state or policy gives: set aside,
    or enrolled by an account, in a session, that is no longer theirs. Nobody has edited anything then."""
    try:
        state = state_of(unit, person)
        if device_id in state.suspended:
            return True
        return device_id in state.devices and read_back(unit, device_id).person == person
    except WeighthouseError:
        return False


def restore_key(
    unit: Unit, person: str, device_id: str, caller: Caller, *, signed: KeySignature | None = None
) -> Device:
    """Let one key count again that was set aside; return it. Who may is the caller's to judge.

    Raises `identity.key_not_aside`, `identity.key_never_counted`, and as `require_opening` does.
    """
    state = state_of(unit, person)

    def refused(code: str) -> list[Event]:
        about = f"{person}/{device_id}"
        return [OpeningRefused(principal=caller.principal, act="person.key", about=about, code=code)]

    again = device_id in state.devices and _falsely_restored(unit, state, device_id)
    if (device_id not in state.suspended and not again) or over_for_good(unit, device_id):
        raise NotFound(
            "identity.key_not_aside",
            "No such key of this person is set aside.",
            "List those that are; one that did not count yet is over.",
            record=refused("identity.key_not_aside"),
        )
    if not again and not _counted(state, device_id):
        raise Denied(
            "identity.key_never_counted",
            "This key did not count yet when it was set aside, so it does not grow up there.",
            "Have its owner end it and enrol a fresh one.",
            record=refused("identity.key_never_counted"),
        )
    key = read_back(unit, device_id)
    require_opening(unit, caller, Act(type="person.key", subject=f"{person}/{key.thumbprint}"), signed)
    voucher = _voucher(unit, caller, device_id, signed.device if signed else "")

    def back(state: PrincipalState) -> PrincipalState:
        lists = {name: tuple(x for x in getattr(state, name) if x != device_id) for name in ("suspended", "grown")}
        others = tuple(x for x in state.devices if x != device_id)
        return with_voucher(msgspec.structs.replace(state, devices=(*others, device_id), **lists), voucher)

    change_state(unit, person, back)
    told = KeysRestored(
        principal=person,
        devices=1,
        by=caller.principal,
        device=key.id,
        thumbprint=key.thumbprint,
        session=str(caller.session or ""),
    )
    audit.append(unit, told)
    return key


def _voucher(unit: Unit, caller: Caller, device_id: str, key: str) -> Voucher:
    """That the caller let a key count again with this one of theirs, and all that this rests on."""
    return Voucher(
        device=device_id,
        act="restore",
        by=caller.principal,
        session=str(caller.session or ""),
        at=unit.now,
        key=key,
        rests=rests_on(unit, state_of(unit, caller.principal), read_back(unit, key)) if key else (),
    )
