"""The seats of the committee as they count now. Guards a count from being of other seats in another room.

One builder for whoever counts: governance shows and closes motions by it, access lifts holds, takes texts and counts
calls for a hold by it. A member who is frozen or held leaves a seat empty.
"""

from __future__ import annotations

from weighthouse.access.api.holds_on import holds_on
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import Unit
from weighthouse.identity.api.states import state_of
from weighthouse.policy import api as policy

_SILENT = policy.Seating(seats=frozenset(), independent=frozenset(), chair="")


def seating(unit: Unit) -> policy.Seating:
    """Return the seats of the charter in force; of a lab without a committee, none."""
    lab = policy.current(unit).lab
    if lab.committee is None:
        return _SILENT
    voting = [seat.person for seat in lab.committee.seats if seat.voting]
    return policy.seating(lab.committee, lab.people, unit.now, [one for one in voting if _silenced(unit, one)])


def _silenced(unit: Unit, person: str) -> bool:
    """Whether something keeps a member from voting that is neither the charter nor the end of a term."""
    if any(hold.stops("committee.vote", policy.LAB_RESOURCE, person) for hold in holds_on(unit, "lab", person)):
        return True
    try:
        state = state_of(unit, person)
    except Unauthenticated:  # a record that cannot be believed speaks for nobody
        return True
    return state.frozen_at is not None or bool(state.suspended and not state.devices)
