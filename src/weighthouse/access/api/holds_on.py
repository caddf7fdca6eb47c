"""The holds that stand on what is asked about. Guards a no from whoever can write rows: the memory speaks first.

A file of its own, so that the seats of the committee and the decision both ask here and neither asks the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.access.api.about import About
from weighthouse.access.events import HoldPlaced
from weighthouse.access.model import Hold
from weighthouse.access.ports import Refusals
from weighthouse.access.store import holds as rows
from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import is_id
from weighthouse.core.work import Unit

NOTHING = About(frozenset())
_PLACED = audit.Lines(HoldPlaced.KIND, by="hold")


def holds_on(unit: Unit, resource: str, person: str, also: About = NOTHING) -> list[Hold]:
    """Every hold that stands on a resource, a person, the lab, or what the resource belongs to and was made from: by
    its row, or by the memory outside the database.

    A row that was deleted or marked lifted behind our back opens nothing; one whose lifting is remembered stands not.
    """
    refusals = unit.part(Refusals)
    subjects = frozenset(("lab", resource, person)) | also.all
    found = {hold.id: hold for hold in refusals.holds() if hold.subject in subjects}
    near = rows.standing_on(unit.conn, "lab", resource, person, *also.near)
    far = rows.standing_among(unit.conn, also.far) if also.far else []
    for hold in (*near, *far):
        if not refusals.lifted(hold.id):
            found.setdefault(hold.id, hold)
    return list(found.values())


def first_of(unit: Unit, against: Iterable[Hold]) -> str:
    """The id of the hold that was placed first of those that stop an act: it is said to have stopped it. What is
    remembered comes before what a row alone says, so that no row takes an act from the hold that stopped it."""
    refusals = unit.part(Refusals)
    first = min(against, key=lambda one: (refusals.hold(one.id) is None, one.at, one.id))
    return first.id if is_id(first.id, "hld") else ""


def every_hold(unit: Unit, subject: str | None = None) -> list[Hold]:
    """Every hold that stands; on one subject, if given."""
    refusals = unit.part(Refusals)
    found = {hold.id: hold for hold in refusals.holds() if subject in (None, hold.subject)}
    for hold in rows.everything(unit.conn, subject):
        if hold.lifted is None and not refusals.lifted(hold.id):
            found.setdefault(hold.id, hold)
    return list(found.values())


def was_placed(unit: Unit, hold_id: str, subject: str = "") -> bool:
    """Whether the log tells that this hold was placed, on `subject` if one is named, or will in a moment."""
    waiting = (one for one in audit.on_its_way(unit, HoldPlaced.KIND) if one["hold"] == hold_id)
    told = (*(one.data for one in _PLACED.of(unit, hold_id)), *waiting)
    return any(subject in ("", one["held"]) for one in told)


def is_told(unit: Unit, hold: Hold) -> bool:
    """Whether a hold is more than its row: remembered outside the database, or told of by the log."""
    kept = unit.part(Refusals).hold(hold.id)
    if kept is not None:
        return kept.subject == hold.subject
    try:
        return was_placed(unit, hold.id, hold.subject)
    except WeighthouseError:  # nobody can tell
        return True
