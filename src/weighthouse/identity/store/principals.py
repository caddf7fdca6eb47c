"""One sealed row a principal: version, epoch, freeze, live sessions, live devices."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, insert, select, update

from weighthouse.core.database import metadata

principals = Table(
    "identity_principal",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)


def read_state(connection: Connection, principal: str, *, lock: bool = False) -> tuple[str, bytes] | None:
    """Return (body, seal) of a principal's state, locking the row when asked."""
    query = select(principals.c.body, principals.c.seal).where(principals.c.principal == principal)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return (str(row[0]), bytes(row[1])) if row else None


def write_state(connection: Connection, principal: str, version: int, body: str, seal: bytes) -> None:
    """Insert or replace a principal's state."""
    values = {"version": version, "body": body, "seal": seal}
    if not connection.execute(
        update(principals).where(principals.c.principal == principal).values(**values)
    ).rowcount:
        connection.execute(insert(principals).values(principal=principal, **values))
