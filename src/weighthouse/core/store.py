"""core's own tables: the high-water time, answers kept for repeated requests, and leases of leaders."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata

high_water = Table(
    "core_high_water",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
)

answers = Table(
    "core_answer",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

leases = Table(
    "core_lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
)


def read_high_water(connection: Connection) -> Millis:
    """Return the largest time ever used, 0 if none."""
    row = connection.execute(select(high_water.c.at).where(high_water.c.id == 1)).first()
    return int(row[0]) if row else 0


def raise_high_water(connection: Connection, at: Millis) -> None:
    """Keep `at` if it is larger than what is kept; two first writers at once are both served."""
    made = insert_if_missing(connection)(high_water).values(id=1, at=at)
    connection.execute(
        made.on_conflict_do_update(
            index_elements=["id"], set_={"at": made.excluded.at}, where=high_water.c.at < made.excluded.at
        )
    )


def insert_if_missing(connection: Connection) -> Any:
    """Return this database's INSERT that knows ON CONFLICT."""
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


def find_answer(connection: Connection, principal: str, key: str) -> tuple[str, str] | None:
    """Return (fingerprint, answer) kept for this caller's key, or None."""
    row = connection.execute(
        select(answers.c.fingerprint, answers.c.answer).where(answers.c.principal == principal, answers.c.key == key)
    ).first()
    return (str(row[0]), str(row[1])) if row else None


def claim_answer(connection: Connection, principal: str, key: str, fingerprint: str, at: Millis) -> bool:
    """Take a caller's key for this transaction, after any other that holds it has ended; False if it kept an answer.

    Until `keep_answer` the answer is empty: a change that was given up in between is run by whoever repeats it.
    """
    made = insert_if_missing(connection)(answers).values(
        principal=principal, key=key, fingerprint=fingerprint, answer="", at=at
    )
    made = made.on_conflict_do_nothing(index_elements=["principal", "key"])
    return connection.execute(made.returning(answers.c.key)).first() is not None


def keep_answer(connection: Connection, principal: str, key: str, answer: str) -> None:
    """Keep the answer to a request in the transaction of its change."""
    connection.execute(
        update(answers).where(answers.c.principal == principal, answers.c.key == key).values(answer=answer)
    )


def read_lease(connection: Connection, name: str, *, lock: bool) -> tuple[str, int, Millis] | None:
    """Return (holder, fencing number, expiry) of a lease, locking its row when asked."""
    query = select(leases.c.holder, leases.c.fencing, leases.c.expires).where(leases.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return (str(row[0]), int(row[1]), int(row[2])) if row else None


def write_lease(connection: Connection, name: str, holder: str, fencing: int, expires: Millis, *, new: bool) -> None:
    """Insert or update a lease row."""
    values = {"holder": holder, "fencing": fencing, "expires": expires}
    if new:
        connection.execute(insert(leases).values(name=name, **values))
    else:
        connection.execute(update(leases).where(leases.c.name == name).values(**values))
