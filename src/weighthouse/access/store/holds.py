"""Holds. The rows are what other servers see at once; the memory outside the database is what a row cannot undo."""

from __future__ import annotations

from collections.abc import Container
from typing import cast

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from weighthouse.access.model import Hold, HoldKind
from weighthouse.access.store.tables import holds
from weighthouse.core.clock import Millis
from weighthouse.core.ids import HoldId
from weighthouse.core.prepared import Prepared

_COLUMNS = (
    holds.c.id,
    holds.c.subject,
    holds.c.kind,
    holds.c.reason,
    holds.c.actions,
    holds.c.placed_by,
    holds.c.at,
    holds.c.lifted,
)
_SUBJECTS = ("one", "two", "three", "four", "five", "six")
_STANDING = Prepared(
    select(*_COLUMNS).where(
        holds.c.lifted.is_(None), or_(*(holds.c.subject == bindparam(name) for name in _SUBJECTS))
    )
)

_NAMED = Prepared(select(holds.c.subject).where(holds.c.lifted.is_(None)))
_EVERY = Prepared(select(*_COLUMNS).where(holds.c.lifted.is_(None)))


def _hold(row: tuple[object, ...]) -> Hold:
    return Hold(
        id=HoldId(str(row[0])),
        subject=str(row[1]),
        kind=cast(HoldKind, row[2]),
        reason=str(row[3]),
        actions=_actions(str(row[4])),
        placed_by=str(row[5]),
        at=cast(int, row[6]),
        lifted=cast("int | None", row[7]),
    )


def _actions(text: str) -> tuple[str, ...]:
    """The actions of a hold; a text that cannot be read names none, so the hold stops everything it can."""
    try:
        return tuple(msgspec.json.decode(text, type=list[str]))
    except msgspec.MsgspecError:
        return ()


def put(connection: Connection, hold: Hold) -> None:
    """Write the row of a hold that stands from now on, in place of whatever somebody planted under its id."""
    connection.execute(delete(holds).where(holds.c.id == hold.id))
    connection.execute(
        insert(holds).values(
            id=hold.id,
            subject=hold.subject,
            kind=hold.kind,
            reason=hold.reason,
            actions=msgspec.json.encode(list(hold.actions)).decode(),
            placed_by=hold.placed_by,
            at=hold.at,
            lifted=None,
            lifted_by="",
            lifted_why="",
        )
    )


def standing_on(connection: Connection, *subjects: str) -> list[Hold]:
    """Holds on at most six subjects that no row says are lifted."""
    named = dict(zip(_SUBJECTS, (*subjects, *subjects[:1] * (len(_SUBJECTS) - len(subjects))), strict=True))
    return [_hold(tuple(row)) for row in _STANDING.all(connection, **named)]


def standing_among(connection: Connection, subjects: Container[str]) -> list[Hold]:
    """Holds on any of many subjects that no row says are lifted."""
    named = {str(row[0]) for row in _NAMED.all(connection)}
    if not any(one in subjects for one in named):
        return []  # nearly always; many may stand on something else
    return [_hold(tuple(row)) for row in _EVERY.all(connection) if row[1] in subjects]


def everything(connection: Connection, subject: str | None) -> list[Hold]:
    """All holds, lifted ones too, newest first."""
    query = select(*_COLUMNS).order_by(holds.c.at.desc(), holds.c.id.desc())
    if subject is not None:
        query = query.where(holds.c.subject == subject)
    return [_hold(tuple(row)) for row in connection.execute(query)]


def lifted_by(connection: Connection, id_: str, by: str) -> Hold | None:
    """The hold that somebody has lifted, if they were the one."""
    row = connection.execute(
        select(*_COLUMNS).where(holds.c.id == id_, holds.c.lifted_by == by, holds.c.lifted.is_not(None))
    ).first()
    return _hold(tuple(row)) if row is not None else None


def lift(connection: Connection, id_: str, now: Millis, by: str, why: str) -> None:
    """Mark a hold as lifted."""
    connection.execute(update(holds).where(holds.c.id == id_).values(lifted=now, lifted_by=by, lifted_why=why))
