"""The day's read budget. Guards against a slow thief, and against an administrator who sets the count back for one.

The sum that counts is the log's own, for every load is an entry there; the row in the database only holds two loads
at once apart. A row that says less than the log was lowered by hand: one line says so, and the log is believed.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY
from weighthouse.core.errors import TooMany
from weighthouse.core.work import Unit
from weighthouse.weights import store
from weighthouse.weights.api.classes import class_of, person_of
from weighthouse.weights.events import LoadStarted, ReadBudgetSpent, TamperFound
from weighthouse.weights.model import ReadBudget, Version
from weighthouse.weights.rules.limits import day_of, resets_at


def _key(person: str, model: str) -> str:
    return f"{person}\x00{model}"


_LOADS = audit.Tally(
    LoadStarted.KIND,
    window=DAY,
    key=lambda entry: _key(entry.data["person"], entry.data["model"]),
    amount=lambda entry: int(entry.data["bytes"]),
    surely=True,
)


def charge(unit: Unit, caller: Caller, found: Version, limit: int) -> int:
    """Charge all bytes of the version to the day, for whoever holds the keys can read them all; return the new sum.

    Raises TooMany `weights.read_budget`.
    """
    person, days = person_of(caller), _days(unit)
    said = max(store.charge(unit.conn, person, found.model, day, found.bytes) for day in days)
    before = max(said - found.bytes, _LOADS.sum(unit, _key(person, found.model)))
    spent = before + found.bytes
    # The row is lower than what the log proves: somebody with the database set it back to read on.
    lowered = [TamperFound(what=f"{person} {found.model}", code="weights.read_row")] if said < spent else []
    if spent > limit:
        raise TooMany(
            "weights.read_budget",
            f"This load of {found.bytes} bytes would exceed the day's read budget: {before} of {limit} are spent.",
            "Wait for the next day (UTC), or ask for a class with a larger budget in the lab configuration.",
            record=[*lowered, _refusal(found, person, before, limit)],
        )
    for line in lowered:
        for day in days:
            store.correct_charge(unit.conn, person, found.model, day, spent)
        audit.append(unit, line)
    _LOADS.note(unit, _key(person, found.model), spent)
    return spent


def _days(unit: Unit) -> list[int]:
    """The days that are charged: no day begins by a clock that cannot be believed, and if it was right, what was
    opened meanwhile counts for its own day, too."""
    return sorted({day_of(unit.sure), day_of(unit.now)})


def _refusal(found: Version, person: str, before: int, limit: int) -> ReadBudgetSpent:
    return ReadBudgetSpent(
        model=found.model, version=found.id, person=person, bytes=found.bytes, spent=before, limit=limit
    )


def read_budget(unit: Unit, person: str, model: str) -> ReadBudget:
    """What a person has opened of a model today, and what is left."""
    limit = class_of(unit, model).read_budget_bytes
    rows = [store.spent(unit.conn, person, model, day) for day in _days(unit)]
    spent = max(*rows, _LOADS.sum(unit, _key(person, model)))
    return ReadBudget(
        person=person,
        model=model,
        limit=limit,
        spent=spent,
        left=max(0, limit - spent),
        resets=resets_at(unit.sure),
    )
