"""The seats of the committee as they count now, and how many may fall silent. Guards guards from those they guard.

One builder for whoever counts: governance shows and closes motions by it, access lifts holds and takes texts by it. A
member who is frozen or held leaves a seat empty; nobody empties so many, one by one or at once, that nothing could be
decided any more, for that is a way to decide alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from weighthouse.access.api.decision import holds_on
from weighthouse.access.api.requests import refuse
from weighthouse.core.caller import Caller
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


def may_silence(unit: Unit, person: str) -> bool:
    """Whether all classes of motions can still be decided while this person is silent, others as they are.

    Judged under the lock under which the charter moves, so that two at one moment do not each leave the last one.
    """
    if policy.current(unit).lab.committee is None or person not in seating(unit).seats:
        return True
    policy.current_locked(unit)
    now = seating(unit)
    if person in now.silenced:
        return True
    then = msgspec.structs.replace(now, silenced=now.silenced | {person})
    return person not in then.seats or not policy.stuck(then)


def check_silence(unit: Unit, caller: Caller, action: str, person: str) -> None:
    """Raise Denied `access.committee_silenced` if stopping this person would leave too few to decide anything."""
    if may_silence(unit, person):
        return
    raise refuse(
        policy.current(unit), caller, action, person, "access.committee_silenced",
        "This person holds a seat of the committee, and without them too few would be left to decide anything; "
        "nobody silences the committee.",
        "End their sessions instead, or lift what silences another member first; a hold that names actions other "
        "than those of the committee may be placed.",
    )  # fmt: skip


def names_acts_of_committee(actions: Iterable[str]) -> bool:
    """Whether a hold that names these actions would hold acts of the committee."""
    return bool(policy.GOVERNING & frozenset(actions))
