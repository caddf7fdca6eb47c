"""Second factors that were given for an act and not used yet: one row an act, taken out by its use."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, delete, insert, select

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata

acts = Table(
    "identity_act",
    metadata,
    Column("id", Text, primary_key=True),
    Column("session", Text, nullable=False, index=True),
    Column("until", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)


def insert_act(connection: Connection, *, factor: str, session: str, until: Millis, body: str, seal: bytes) -> None:
    connection.execute(insert(acts).values(id=factor, session=session, until=until, body=body, seal=seal))


def acts_of(connection: Connection, session: str) -> list[tuple[str, str, bytes]]:
    """Return (id, body, seal) of what was given in a session and not used yet, oldest first."""
    query = select(acts.c.id, acts.c.body, acts.c.seal).where(acts.c.session == session).order_by(acts.c.id)
    return [(str(row[0]), str(row[1]), bytes(row[2])) for row in connection.execute(query)]


def take_act(connection: Connection, factor: str) -> bool:
    """Remove one; True for exactly one of two that try at once."""
    return connection.execute(delete(acts).where(acts.c.id == factor)).rowcount == 1


def forget_acts(connection: Connection, before: Millis) -> None:
    connection.execute(delete(acts).where(acts.c.until < before))
