"""The read budget: what anybody opens within 24 hours. Guards against a slow thief, and against a count set back.

Loads, listings and exports of one person count together, and all exports of a model by whoever makes them. The window
slides: what was opened counts until it lies a day back, so that no midnight gives the budget twice. The sum that
counts is the log's own, for each of them is an entry there; the row in the database, one for a day, only holds two at
once apart. A row that says less than the log was lowered by hand: one line says so, and the log is believed.
"""

from __future__ import annotations

from collections.abc import Iterator

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY
from weighthouse.core.errors import TooMany
from weighthouse.core.work import Unit
from weighthouse.weights import store
from weighthouse.weights.api.classes import class_of, person_of
from weighthouse.weights.events import LoadStarted, ReadBudgetSpent, TamperFound, WeightsExported
from weighthouse.weights.model import ReadBudget, Version
from weighthouse.weights.rules.limits import day_of

EVERYBODY = ""  # whose sum all exports of a model are


def _key(person: str, model: str) -> str:
    return f"{person}\x00{model}"


def _keys(entry: audit.Entry) -> Iterator[str]:
    yield _key(entry.data["person"], entry.data["model"])
    if entry.kind == WeightsExported.KIND:
        yield _key(EVERYBODY, entry.data["model"])


_OPENED = audit.Tally(
    LoadStarted.KIND,
    WeightsExported.KIND,
    window=DAY,
    keys=_keys,
    amount=lambda entry: int(entry.data["bytes"]),
    surely=True,
)


def charge(unit: Unit, caller: Caller, found: Version, limit: int) -> int:
    """Charge all bytes of the version, for whoever holds the keys can read them all; return the sum of 24 hours.

    Raises TooMany `weights.read_budget`.
    """
    return _charge(unit, person_of(caller), person_of(caller), found, limit)


def charge_export(unit: Unit, caller: Caller, found: Version, limit: int) -> None:
    """Charge an export to who makes it, as a load, and to the model, as everybody's.

    Raises TooMany `weights.read_budget`.
    """
    _charge(unit, EVERYBODY, person_of(caller), found, limit)
    charge(unit, caller, found, limit)


def _charge(unit: Unit, whose: str, person: str, found: Version, limit: int) -> int:
    days, key = _days(unit), _key(whose, found.model)
    said = max(store.charge(unit.conn, whose, found.model, day, found.bytes) for day in days)
    today = max(said - found.bytes, _OPENED.sum(unit, key))
    before = today + _carried(unit, whose, found.model, days)
    spent = before + found.bytes
    # The row is lower than what the log proves: somebody with the database set it back to read on.
    what = f"{whose} {found.model}".strip()
    lowered = [TamperFound(what=what, code="weights.read_row")] if said - found.bytes < today else []
    if spent > limit:
        raise TooMany(
            "weights.read_budget",
            f"These {found.bytes} bytes of {found.model} would exceed the budget of 24 hours"
            f"{'' if whose else ' for all its exports'}: {before} of {limit} are spent.",
            "Wait until what was opened lies a day back, or change the class in the lab configuration.",
            record=[*lowered, _refusal(found, person, before, limit)],
        )
    for line in lowered:
        for day in days:
            store.correct_charge(unit.conn, whose, found.model, day, today + found.bytes)
        audit.append(unit, line)
    _OPENED.note(unit, key, today + found.bytes)
    return spent


def _days(unit: Unit) -> list[int]:
    """The days that are charged: no day begins by a clock that cannot be believed, and if it was right, what was
    opened meanwhile counts for its own day, too."""
    return sorted({day_of(unit.sure), day_of(unit.now)})


def _carried(unit: Unit, whose: str, model: str, days: list[int]) -> int:
    """What was opened on the day before, and less than 24 hours ago."""
    return _OPENED.carried(unit, _key(whose, model), store.spent(unit.conn, whose, model, days[0] - 1))


def _refusal(found: Version, person: str, before: int, limit: int) -> ReadBudgetSpent:
    return ReadBudgetSpent(
        model=found.model, version=found.id, person=person, bytes=found.bytes, spent=before, limit=limit
    )


def read_budget(unit: Unit, person: str, model: str) -> ReadBudget:
    """What a person has opened of a model within 24 hours, and what is left."""
    limit, days = class_of(unit, model).read_budget_bytes, _days(unit)
    rows = [store.spent(unit.conn, person, model, day) for day in days]
    spent = max(*rows, _OPENED.sum(unit, _key(person, model))) + _carried(unit, person, model, days)
    return ReadBudget(
        person=person,
        model=model,
        limit=limit,
        spent=spent,
        left=max(0, limit - spent),
        resets=_OPENED.eases(unit, _key(person, model)),
    )
