"""The state of one principal: who is frozen, which sessions and devices live. Guards ends from being undone.

Every change raises a version that is remembered outside the database. A row that is missing, edited, or older than
the memory is refused, so that putting back yesterday's row revives no session and thaws nobody. What was refused
once stays refused: the only state that a refused row is ever replaced by is a frozen one, which a person with the
right thaws.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.events import Event
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import Unit, read
from weighthouse.identity.api.sealing import memory, refused, seal, unseal
from weighthouse.identity.events import PersonFrozen, RecordRefused
from weighthouse.identity.model import RUN, PrincipalState
from weighthouse.identity.store import principals as store

_VERSION = "identity-version"
UNBELIEVED = "the record of this person in the database is not the one that this server kept"
STANDS = "What was said no to stands all the same, and is written down once the database takes it."
_AHEAD = 16  # more than others may raise a state while the stop waits for its row
STATE_FORM = 2  # 1 came without accounts


def state_of(unit: Unit, principal: str) -> PrincipalState:
    """Return the state of `principal`; raises `identity.record_refused` if its row was edited or put back."""
    known = _least(unit, principal)
    state = _judge(unit, principal, store.read_state(unit.conn, principal))
    if state.version < known and unit.read_only:
        # Our snapshot may be older than a change that has just been committed: look again before crying wolf.
        with read(unit.system) as fresh:
            state = _judge(fresh, principal, store.read_state(fresh.conn, principal))
    _check_newest(unit, principal, state.version)
    if state.version > known:
        _remember(unit, principal, state.version)
    return state


def _check_newest(unit: Unit, principal: str, version: int) -> None:
    """Refuse a state that is older than one that was seen, with a line; and without one, where this server has itself
    announced a stop that the row does not say yet: nobody has edited anything."""
    kept = memory(unit.system)
    seen = kept.version(principal)
    if version < seen:
        raise refused("principal", principal, f"version {version} is older than {seen}, which was seen before")
    if version < kept.version(_stop(principal)):
        raise Unauthenticated(
            "identity.session_ended",
            "Everything of this person was stopped a moment ago.",
            "Sign in again, unless it is you who was stopped; if the stop was answered with an error, say it again.",
        )


def _least(unit: Unit, principal: str) -> int:
    """The version from which on a state is believed: the largest seen, and that of a stop that was said."""
    kept = memory(unit.system)
    return max(kept.version(principal), kept.version(_stop(principal)))


def _stop(principal: str) -> str:
    return f"stop {principal}"


def stop_first(unit: Unit, principal: str) -> None:
    """Believe no state of `principal` as it is now, from this moment on: the next one that `stops` is.

    Attack: lock the row or its table, so that a freeze fails there and nothing remembers it. So this comes before any
    row is locked or written; whoever stops them again, once the database answers, loses nothing by it.
    """
    try:
        version = _judge(unit, principal, store.read_state(unit.conn, principal)).version
    except Unauthenticated:
        version = 0
    memory(unit.system).raise_version(_stop(principal), max(version, _least(unit, principal)) + _AHEAD)
    unit.stands = STANDS


def _remember(unit: Unit, principal: str, version: int) -> None:
    """Remember a version that was read; in a unit that writes it may be its own, no fact before it is committed."""
    if unit.read_only:
        memory(unit.system).raise_version(principal, version)
    else:
        unit.after_commit(lambda: memory(unit.system).raise_version(principal, version))


def fresh_state(principal: str) -> PrincipalState:
    """The state of a principal of whom nothing is kept: nothing of theirs is older than the keeping of accounts."""
    return PrincipalState(principal=PrincipalId(principal), v=STATE_FORM)


def _judge(unit: Unit, principal: str, row: tuple[str, bytes] | None) -> PrincipalState:
    if row is None:
        return fresh_state(principal)
    state = unseal(unit, "principal", row[0], row[1], PrincipalState)
    if state is None or state.principal != principal:
        raise refused("principal", principal, "the seal does not hold")
    return state


def lock(unit: Unit, principal: str) -> None:
    """Let no other unit change the state of `principal` until this one is over."""
    store.lock_state(unit.conn, principal)


def change_state(
    unit: Unit,
    principal: str,
    change: Callable[[PrincipalState], PrincipalState],
    *,
    mend: bool = False,
    stops: bool = False,
) -> PrincipalState:
    """Apply `change` to the locked state and seal it under a higher version.

    With `stops`, it is what `stop_first` has announced. With `mend`, a refused row does not stop the change: it is
    applied to an empty and frozen state (no session, no device) in its place, so that an edited row keeps security
    from nothing and no timer repairs it towards yes.
    """
    row = store.lock_state(unit.conn, principal)
    least = _least(unit, principal)
    seen = memory(unit.system).version(principal)
    known = seen if stops else least
    put_back = False
    try:
        state = _judge(unit, principal, row)
        if state.version < seen or not stops:
            _check_newest(unit, principal, state.version)
    except Unauthenticated:
        if not mend:
            raise
        state, put_back = _unbelieved(unit, principal, known), True
    version = max(state.version, least) + 1
    changed = msgspec.structs.replace(change(state), version=version)
    body, code = seal(unit, "principal", changed)
    store.write_state(unit.conn, principal, version, body, code)
    unit.after_commit(lambda: memory(unit.system).raise_version(principal, version))
    unit.memo[_VERSION, principal] = version
    if put_back and changed.frozen_reason == UNBELIEVED:  # nobody said so: the line must
        audit.append(unit, _closed(principal, version))
    return changed


def version_now(unit: Unit, principal: str) -> int:
    """Return the version to which this unit has raised the state of `principal`, for the line that tells of it."""
    return int(unit.memo.get((_VERSION, principal), 0))


def _unbelieved(unit: Unit, principal: str, known: int) -> PrincipalState:
    """What takes the place of a row that cannot be believed. No session of before fits its epoch."""
    return PrincipalState(
        principal=PrincipalId(principal),
        v=STATE_FORM,
        epoch=known + 1,
        frozen_at=unit.now,
        frozen_reason=UNBELIEVED,
        stopped=unit.now,
    )


def _closed(principal: str, version: int) -> Event:
    """The line of a record that was closed because it could not be believed; a run is nobody who could be frozen."""
    if principal.startswith(RUN):
        return RecordRefused(table="principal", row=principal, why="the record was edited or put back, and is closed")
    return PersonFrozen(principal=principal, reason=UNBELIEVED, by="system", version=version)
