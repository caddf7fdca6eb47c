"""The holds that stand on what is asked about. Guards a no from whoever can write rows: the memory speaks first.

A file of its own, so that the seats of the committee and the decision both ask here and neither asks the other.
"""

from __future__ import annotations

from weighthouse.access.model import Hold
from weighthouse.access.ports import Refusals
from weighthouse.access.store import holds as rows
from weighthouse.core.work import Unit


def holds_on(unit: Unit, resource: str, person: str) -> list[Hold]:
    """Every hold that stands on a resource, a person or the lab: by its row, or by the memory outside the database.

    A row that was deleted or marked lifted behind our back opens nothing; one whose lifting is remembered stands not.
    """
    refusals = unit.part(Refusals)
    subjects = ("lab", resource, person)
    found = {hold.id: hold for hold in refusals.holds() if hold.subject in subjects}
    for hold in rows.standing_on(unit.conn, resource, person):
        if not refusals.lifted(hold.id):
            found.setdefault(hold.id, hold)
    return list(found.values())
