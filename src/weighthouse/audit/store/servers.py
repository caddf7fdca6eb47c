"""Queries over what each server says of itself. Rows are hearsay until their seal was checked."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from weighthouse.audit.store.tables import servers


class Row(NamedTuple):
    """What stands there of one server."""

    name: str
    said: bytes
    seal: bytes


def rows(conn: Connection, most: int) -> list[Row]:
    """Return at most `most` rows."""
    query = select(servers.c.name, servers.c.said, servers.c.seal).order_by(servers.c.name).limit(most)
    return [Row(row[0], bytes(row[1]), bytes(row[2])) for row in conn.execute(query)]


def find(conn: Connection, name: str) -> Row | None:
    """Return the row of one server."""
    query = select(servers.c.name, servers.c.said, servers.c.seal).where(servers.c.name == name)
    row = conn.execute(query).first()
    return Row(row[0], bytes(row[1]), bytes(row[2])) if row else None


def put(conn: Connection, row: Row) -> None:
    """Put the row of a server in place, in one statement: others may write such rows."""
    values = {"said": row.said, "seal": row.seal}
    statement = insert(servers).values(name=row.name, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=[servers.c.name], set_=values))


def drop(conn: Connection, name: str | None = None) -> None:
    """Remove the row of a server that has left, or every row."""
    query = delete(servers)
    conn.execute(query if name is None else query.where(servers.c.name == name))
