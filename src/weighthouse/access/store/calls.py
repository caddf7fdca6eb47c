"""Calls for a hold. The rows are what other servers see at once; memory and log are what a row cannot undo."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from weighthouse.access.model import HoldCall
from weighthouse.access.store.tables import calls
from weighthouse.core.clock import Millis
from weighthouse.core.prepared import Prepared


def add(connection: Connection, call: HoldCall, seal: bytes) -> None:
    """Record a member's call to hold a release, in the place of what a row may hold under its key."""
    connection.execute(
        delete(calls).where(calls.c.model == call.model, calls.c.member == call.member, calls.c.at == call.at)
    )
    connection.execute(
        insert(calls).values(
            model=call.model, member=call.member, at=call.at, reason=call.reason, hold=None, seal=seal
        )
    )


_ANY = Prepared(select(calls.c.model).where(calls.c.hold.is_(None), calls.c.at >= bindparam("since")).limit(1))


def any_waiting(connection: Connection, since: Millis) -> bool:
    """Whether any row tells of a call that has led to no hold yet and is not older than `since`."""
    return bool(_ANY.all(connection, since=since))


def waiting(connection: Connection, model: str, since: Millis) -> list[tuple[HoldCall, bytes]]:
    """Return the calls on a model that have led to no hold yet, not older than `since`, each with its seal."""
    query = select(calls).where(calls.c.model == model, calls.c.hold.is_(None), calls.c.at >= since)
    return [
        (
            HoldCall(model=row["model"], member=row["member"], reason=row["reason"], at=row["at"]),
            bytes(row["seal"] or b""),
        )
        for row in connection.execute(query.order_by(calls.c.at)).mappings()
    ]


def answer(connection: Connection, model: str, hold: str) -> None:
    """Note the hold that the calls on a model led to."""
    connection.execute(update(calls).where(calls.c.model == model, calls.c.hold.is_(None)).values(hold=hold))
