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
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy


def may_silence(unit: Unit, person: str, *, disowns: bool = False) -> bool:
    """Whether all classes of motions can still be decided while this person is silent, others as they are; with
    `disowns`, while those are too whose keys all fall with what this person vouched for.

    Judged under the lock under which the charter moves, so that two at one moment do not each leave the last one.
    Attack: hold that lock, so that no member can ever be stopped. It is waited for a moment only. Attack: make up the
    rows of holds on others, so that only this one is left who must not be stopped; a row alone silences nobody here.
    """
    if policy.current(unit).lab.committee is None:
        return True
    seats = seating(unit).seats
    falling = {one for one in seats if disowns and identity.rests_wholly_on(unit, one, person)}
    stopped = falling | (seats & {person})
    if not stopped:
        return True
    briefly(unit, lambda: policy.current_locked(unit), lambda: policy.current(unit))
    now = seating(unit, told=True)
    if now.seats & {person} and person not in now.silenced and policy.stuck(_without(now, {person})):
        return False
    mute = {one for one in now.seats if not identity.has_voice(unit, one)}
    return stopped <= mute | now.silenced or not _decide(now, mute) or _decide(now, mute | stopped)


def _without(now: policy.Seating, silent: Iterable[str]) -> policy.Seating:
    return msgspec.structs.replace(now, silenced=now.silenced | frozenset(silent))


def _decide(now: policy.Seating, silent: Iterable[str]) -> bool:
    """Whether everything can be decided while these are silent, too."""
    return not policy.stuck(_without(now, silent))


def check_silence(unit: Unit, caller: Caller, action: str, person: str, *, disowns: bool = False) -> None:
    """Raise Denied `access.committee_silenced` if stopping this person would leave too few to decide anything."""
    if may_silence(unit, person, disowns=disowns):
        return
    raise refuse(
        policy.current(unit), caller, action, person, "access.committee_silenced",
        "Without this person, their key, or the keys that they vouched for lately, too few of the committee would be "
        "left to decide anything; nobody silences the committee.",
        "End their sessions instead, or lift what silences another member first; a hold that names actions other "
        "than those of the committee may be placed.",
    )  # fmt: skip


def names_acts_of_committee(actions: Iterable[str]) -> bool:
    """Whether a hold that names these actions would hold acts of the committee."""
    return bool(policy.GOVERNING & frozenset(actions))
