"""The seats of the committee as they count now. Guards a count from being of other seats in another room.

One builder for whoever counts: governance shows and closes motions by it, access lifts holds, takes texts and counts
calls for a hold by it. A member who is frozen or held leaves a seat empty.
"""

from __future__ import annotations

from weighthouse.access.api.holds_on import holds_on, is_told
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import Unit
from weighthouse.identity.api.states import state_of
from weighthouse.policy import api as policy

_SILENT = policy.Seating(seats=frozenset(), independent=frozenset(), chair="")


def seating(unit: Unit, *, told: bool = False) -> policy.Seating:
    """Return the seats of the charter in force; of a lab without a committee, none.

    A hold that a row alone tells of silences a member, for that is the safe side; with `told` it does not, for where
    somebody else is to be stopped, the safe side is the other.
    """
    lab = policy.current(unit).lab
    if lab.committee is None:
        return _SILENT
    voting = [seat.person for seat in lab.committee.seats if seat.voting]
    return policy.seating(lab.committee, lab.people, unit.now, [one for one in voting if _silenced(unit, one, told)])


def _silenced(unit: Unit, person: str, told: bool) -> bool:
    """Whether something keeps a member from voting that is neither the charter nor the end of a term."""
    found = [one for one in holds_on(unit, "lab", person) if one.stops("committee.vote", policy.LAB_RESOURCE, person)]
    if any(not told or is_told(unit, one) for one in found):
        return True
    try:
        state = state_of(unit, person)
    except Unauthenticated:  # a record that cannot be believed speaks for nobody
        return True
    return state.frozen_at is not None or bool(state.suspended and not state.devices)
