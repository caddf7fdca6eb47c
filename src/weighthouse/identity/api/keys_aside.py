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
from weighthouse.identity.api.states import change_state, state_of
from weighthouse.identity.events import KeysRestored, OpeningRefused
from weighthouse.identity.model import Act, Device, KeySignature, PrincipalState

YOUNG = "it did not count yet when everything of its person was stopped"


def set_keys_aside(unit: Unit, person: str, by: str) -> int:
    """Set every key of a person aside that counts, end the others, those of before too; return how many are aside.

    Call it in a unit that has changed the state before, which is locked then.
    """
    state = state_of(unit, person)
    counted = counting(unit, state)
    for one in (*state.devices, *state.suspended):
        if one not in counted and not _counted(state, one):
            drop_device(unit, person, one, YOUNG, by=by)

    def aside(state: PrincipalState) -> PrincipalState:
        return msgspec.structs.replace(
            state,
            devices=(),
            suspended=(*state.suspended, *state.devices),
            grown=(*state.grown, *state.devices),
        )

    change_state(unit, person, aside)
    return len(counted)


def _counted(state: PrincipalState, device: str) -> bool:
    """Whether a key that is aside counted before. Where that was not kept yet, its confirmation says so."""
    return device in state.suspended and device in (*state.grown, *state.confirmed)


def keys_aside(unit: Unit, person: str) -> list[Device]:
    """Return a person's keys that were set aside and may count again, oldest first."""
    state, found = state_of(unit, person), list[Device]()
    for one in state.suspended:
        with suppress(WeighthouseError):  # hidden or edited: nobody can be shown what it is
            if _counted(state, one):
                found.append(read_back(unit, one))
    return found


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
        return [
            OpeningRefused(principal=caller.principal, act="person.key", about=f"{person}/{device_id}", code=code)
        ]

    if device_id not in state.suspended:
        raise NotFound(
            "identity.key_not_aside",
            "No such key of this person is set aside.",
            "List those that are; one that did not count yet is over.",
            record=refused("identity.key_not_aside"),
        )
    if not _counted(state, device_id):
        raise Denied(
            "identity.key_never_counted",
            "This key did not count yet when it was set aside, so it does not grow up there.",
            "Have its owner end it and enrol a fresh one.",
            record=refused("identity.key_never_counted"),
        )
    key = read_back(unit, device_id)
    require_opening(unit, caller, Act(type="person.key", subject=f"{person}/{key.thumbprint}"), signed)

    def back(state: PrincipalState) -> PrincipalState:
        lists = {name: tuple(x for x in getattr(state, name) if x != device_id) for name in ("suspended", "grown")}
        return msgspec.structs.replace(state, devices=(*state.devices, device_id), **lists)

    change_state(unit, person, back)
    told = KeysRestored(principal=person, devices=1, by=caller.principal, device=key.id, thumbprint=key.thumbprint)
    audit.append(unit, told)
    return key
