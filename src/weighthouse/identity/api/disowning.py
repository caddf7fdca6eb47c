"""One step by which a person says "this was not me". Guards from whoever acts in their name.

It only stops, so it needs no second factor: every session of the person ends, every key of theirs is set aside and
signs nothing; what was asked for in their name until then, and given for it, is taken back by the room that keeps it.
Nobody else is touched. Undoing it is for security, who has spoken with the person.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Invalid
from weighthouse.core.work import Unit
from weighthouse.identity.api.openings import require_opening
from weighthouse.identity.api.sessions import NOT_ME, end_sessions_of
from weighthouse.identity.api.states import change_state, state_of
from weighthouse.identity.events import Disowned, KeysRestored
from weighthouse.identity.model import Act, KeySignature, PrincipalState


def disown(unit: Unit, caller: Caller) -> tuple[int, int]:
    """End every session of the caller and set every key of theirs aside; return how many of each."""
    aside = 0

    def without_keys(state: PrincipalState) -> PrincipalState:
        nonlocal aside
        aside = len(state.devices)
        return msgspec.structs.replace(state, devices=(), suspended=(*state.suspended, *state.devices))

    change_state(unit, caller.principal, without_keys, mend=True)
    ended = end_sessions_of(unit, caller.principal, NOT_ME, caller)
    audit.append(
        unit, Disowned(principal=caller.principal, session=caller.session or "", sessions=ended, devices=aside)
    )
    return ended, aside


def restore_keys(unit: Unit, person: str, caller: Caller, *, signed: KeySignature | None = None) -> int:
    """Let the keys count again that a person had set aside; return how many. Who may is the caller's to judge.

    Raises `identity.no_keys_aside`, and as `require_opening` does.
    """
    aside = state_of(unit, person).suspended
    if not aside:
        raise Invalid("identity.no_keys_aside", "No key of this person was set aside.", "None is needed.")
    require_opening(unit, caller, Act(type="person.keys", subject=person), signed)

    def with_keys(state: PrincipalState) -> PrincipalState:
        return msgspec.structs.replace(state, devices=(*state.devices, *state.suspended), suspended=())

    change_state(unit, person, with_keys)
    audit.append(unit, KeysRestored(principal=person, devices=len(aside), by=caller.principal))
    return len(aside)
