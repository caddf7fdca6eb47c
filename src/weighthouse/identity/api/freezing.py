"""Freezing and thawing people. Guards the lab from somebody's sessions, keys and votes, in one step.

To freeze only stops, so it takes no more than the right to. To thaw opens: whoever runs the identity provider must
not be able to, so it takes a key that counted before.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Invalid, Unauthenticated
from weighthouse.core.work import Unit
from weighthouse.identity.api import moments, owing
from weighthouse.identity.api.keys_aside import set_keys_aside
from weighthouse.identity.api.openings import require_opening
from weighthouse.identity.api.sessions import disclaim, end_sessions_of, name_of
from weighthouse.identity.api.states import UNBELIEVED, change_state, state_of, stop_first, version_now
from weighthouse.identity.api.typed import typed
from weighthouse.identity.events import PersonFrozen, PersonThawed
from weighthouse.identity.model import Act, KeySignature, PrincipalState


def freeze(unit: Unit, principal: str, reason: str, by: Caller | str) -> None:
    """Freeze a person: every session ends, none can begin, no vote counts, and what was asked for in their name until
    now is taken back, as by `disown`: who signed out first is not spared. Freezing twice changes nothing."""
    if not 3 <= len(reason) <= 500:
        raise Invalid("identity.bad_reason", "A freeze needs a reason of 3 to 500 characters.", "Say why.")
    line = PersonFrozen(principal=principal, reason=typed(reason, UNBELIEVED), by=name_of(by))
    stop_first(unit, principal)
    disclaim(unit, principal)
    owing.owe(unit, line, of=principal)
    _freeze(unit, line, by)


def _freeze(unit: Unit, line: PersonFrozen, by: Caller | str, *, told: bool = False) -> None:
    """Write down what `freeze` has said. With its line `told` whatever it finds, for somebody else may have come
    first with theirs."""
    principal, frozen_now = line.principal, False

    def frozen(state: PrincipalState) -> PrincipalState:
        nonlocal frozen_now
        frozen_now = state.frozen_at is None or not state.version  # the latter stands for a row that was refused
        if not frozen_now:
            return state
        return msgspec.structs.replace(state, frozen_at=unit.now, frozen_reason=line.reason)

    change_state(unit, principal, frozen, mend=True, stops=True)
    if frozen_now:
        end_sessions_of(unit, principal, "frozen", by, stops=True)
        set_keys_aside(unit, principal, name_of(by))
    if frozen_now or told:
        audit.append(unit, msgspec.structs.replace(line, version=version_now(unit, principal)))


def _again(unit: Unit, line: PersonFrozen) -> None:
    _freeze(unit, line, line.by, told=True)


owing.again(PersonFrozen, _again, unsure=("version",))


def thaw(unit: Unit, principal: str, reason: str, by: Caller | str, *, signed: KeySignature | None = None) -> None:
    """Let a frozen person sign in again; raises `identity.not_frozen` if they are not frozen.

    This is also what mends a record that was edited or put back: whoever may freeze people has looked, and says so.
    No session and no device of before comes back with it: each key is let count again by itself (`keys_aside`). A
    person signs it (`openings`).
    """
    if not is_frozen(unit, principal):
        raise Invalid("identity.not_frozen", "This person is not frozen.", "None is needed.")
    if isinstance(by, Caller) and by.kind == "person":  # the operator of the machine has no session to give one in
        require_opening(unit, by, Act(type="person.thaw", subject=principal), signed)

    moments.note(unit, moments.everything(principal))

    def thawed(state: PrincipalState) -> PrincipalState:  # what was begun while they were frozen is not let through
        return msgspec.structs.replace(state, frozen_at=None, frozen_reason="", stopped=unit.now)

    owing.pay_first(unit, principal)
    # a stop that was announced, and whose change never came about, ends here, too
    change_state(unit, principal, thawed, mend=True, stops=True)
    session = str(by.session or "") if isinstance(by, Caller) else ""
    version = version_now(unit, principal)
    audit.append(
        unit, PersonThawed(principal=principal, reason=reason, by=name_of(by), version=version, session=session)
    )


def is_frozen(unit: Unit, principal: str) -> bool:
    """Whether a person cannot sign in now, frozen or with a record that is not believed: what a row says, which is
    never a sign that somebody has frozen them."""
    try:
        return state_of(unit, principal).frozen_at is not None
    except Unauthenticated:
        return True
