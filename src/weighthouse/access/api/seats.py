"""How many seats of the committee may fall silent. Guards guards from those they guard.

A member who is frozen or held leaves a seat empty; nobody empties so many, one by one or at once, that nothing could
be decided any more, for that is a way to decide alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from weighthouse.access.api.requests import refuse
from weighthouse.access.api.seating import seating
from weighthouse.core.brief import briefly
from weighthouse.core.caller import Caller
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def may_silence(unit: Unit, person: str) -> bool:
    """Whether all classes of motions can still be decided while this person is silent, others as they are.

    Judged under the lock under which the charter moves, so that two at one moment do not each leave the last one.
    Attack: hold that lock, so that no member can ever be stopped. It is waited for a moment only.
    """
    if policy.current(unit).lab.committee is None or person not in seating(unit).seats:
        return True
    briefly(unit, lambda: policy.current_locked(unit), lambda: policy.current(unit))
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
