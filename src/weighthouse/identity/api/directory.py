"""People and their teams, from the signed lab configuration and nothing else. Guards from claims in tokens.

A token names an account; the configuration says whose account it is, and which teams that person is in. Mail
addresses, names, groups and roles in tokens decide nothing.
"""

from __future__ import annotations

from weighthouse.core.errors import NotFound, Unauthenticated
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import Unit
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.states import state_of
from weighthouse.identity.model import RUN, Person
from weighthouse.identity.store import principals as store
from weighthouse.policy import api as policy


def person(unit: Unit, principal: str) -> Person:
    """Return one person; raises `identity.person_unknown`. An unreadable state shows as frozen."""
    entry = policy.current(unit).lab.people.get(principal)
    if entry is None:
        raise NotFound("identity.person_unknown", "There is no such person in this lab.", "Pick one from the list.")
    frozen, reason = _frozen(unit, principal)
    return Person(
        id=PrincipalId(entry.id),
        name=entry.name,
        teams=tuple(sorted(entry.teams)),
        active=entry.active,
        frozen=frozen,
        frozen_reason=reason,
    )


def knew(unit: Unit, principal: str) -> bool:
    """Whether this is somebody of the lab, or was: of whom a state is kept, or whose state was seen.

    What a thief did in somebody's name outlives their place in the policy, so that it is taken back still.
    """
    if principal in policy.current(unit).lab.people:
        return True
    return store.read_state(unit.conn, principal) is not None or memory(unit.system).version(principal) > 0


def _frozen(unit: Unit, principal: str) -> tuple[bool, str]:
    try:
        state = state_of(unit, principal)
    except Unauthenticated as error:
        return True, error.message
    return state.frozen_at is not None, state.frozen_reason


def person_for(unit: Unit, issuer: str, subject: str) -> Person | None:
    """Return the person who has this account, by exact issuer and immutable subject; None if nobody has it."""
    entry = policy.current(unit).lab.person_of_account(issuer, subject)
    return person(unit, entry.id) if entry else None


def people(unit: Unit) -> list[Person]:
    """Return everybody in the lab, by id."""
    return [person(unit, entry) for entry in sorted(policy.current(unit).lab.people)]


def is_active(unit: Unit, principal: str) -> bool:
    """Whether this principal may count at all now: in the lab, active, not frozen; or a run that is alive.

    A state that was edited or put back counts as not active.
    """
    if principal == "system":
        return True
    if not principal.startswith(RUN):
        entry = policy.current(unit).lab.people.get(principal)
        return entry is not None and entry.active and not _frozen(unit, principal)[0]
    try:
        return bool(state_of(unit, principal).sessions)
    except Unauthenticated:
        return False
