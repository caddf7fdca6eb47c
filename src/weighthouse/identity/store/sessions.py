"""Sessions, by their id and by the digest of their secret. The secret itself is never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Index, LargeBinary, Table, Text, delete, insert, select, update

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata

sessions = Table(
    "identity_session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret", Text, nullable=False, unique=True),
    Column("person", Text, nullable=False),
    Column("ends", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Index(None, "person", "ends"),
)


class Row(NamedTuple):
    """One session's row: what it says, and the seal over it."""

    id: str
    body: str
    seal: bytes


def insert_session(
    connection: Connection, *, session: str, secret: str, person: str, ends: Millis, body: str, seal: bytes
) -> None:
    connection.execute(
        insert(sessions).values(id=session, secret=secret, person=person, ends=ends, body=body, seal=seal)
    )


def update_session(
    connection: Connection, *, session: str, secret: str, body: str, seal: bytes, before: bytes | None = None
) -> None:
    """Replace a session's row; with `before`, only while its seal is that one."""
    change = update(sessions).where(sessions.c.id == session)
    if before is not None:
        change = change.where(sessions.c.seal == before)
    connection.execute(change.values(secret=secret, body=body, seal=seal))


def by_secret(connection: Connection, secret: str) -> Row | None:
    """Return the session whose cookie or token has this SHA-256."""
    query = select(sessions.c.id, sessions.c.body, sessions.c.seal).where(sessions.c.secret == secret)
    row = connection.execute(query).first()
    return Row(str(row[0]), str(row[1]), bytes(row[2])) if row else None


def by_ids(connection: Connection, ids: Sequence[str]) -> list[Row]:
    """Return the named sessions, oldest first."""
    query = (
        select(sessions.c.id, sessions.c.body, sessions.c.seal).where(sessions.c.id.in_(ids)).order_by(sessions.c.id)
    )
    return [Row(str(row[0]), str(row[1]), bytes(row[2])) for row in connection.execute(query)]


def of_person(connection: Connection, person: str, *, since: Millis) -> list[Row]:
    """Return a person's sessions whose longest life reaches past `since`, newest first."""
    query = (
        select(sessions.c.id, sessions.c.body, sessions.c.seal)
        .where(sessions.c.person == person, sessions.c.ends > since)
        .order_by(sessions.c.id.desc())
    )
    return [Row(str(row[0]), str(row[1]), bytes(row[2])) for row in connection.execute(query)]


def forget_sessions(connection: Connection, before: Millis) -> int:
    """Delete sessions whose longest life ended before `before`; the log keeps what happened."""
    return connection.execute(delete(sessions).where(sessions.c.ends < before)).rowcount
