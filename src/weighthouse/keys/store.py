"""keys' one table: how many data keys each caller was given in a minute. No key material is ever in the database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Table, Text, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from weighthouse.core.database import metadata

releases = Table(
    "keys_release",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    Column("count", BigInteger, nullable=False),
)


def count_release(connection: Connection, principal: str, minute: int, count: int) -> int:
    """Add `count` to the caller's minute, atomically, and return the new sum; all before the last minute go."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(releases).values(principal=principal, minute=minute, count=count)
    statement = statement.on_conflict_do_update(
        index_elements=[releases.c.principal, releases.c.minute], set_={"count": releases.c.count + count}
    )
    total = connection.execute(statement.returning(releases.c.count)).scalar_one()
    connection.execute(delete(releases).where(releases.c.principal == principal, releases.c.minute < minute - 1))
    return int(total)


def counted(connection: Connection, principal: str, minute: int) -> int:
    """How many the caller was given in a minute, by the database alone."""
    query = select(releases.c.count).where(releases.c.principal == principal, releases.c.minute == minute)
    return int(connection.execute(query).scalar() or 0)


def correct_count(connection: Connection, principal: str, minute: int, total: int) -> None:
    """Put back the sum that the log proves."""
    query = update(releases).where(releases.c.principal == principal, releases.c.minute == minute)
    connection.execute(query.values(count=total))
