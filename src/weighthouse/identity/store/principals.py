"""One sealed row a principal: version, epoch, freeze, live sessions, live devices."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, bindparam, select, text, update

from weighthouse.core.database import metadata
from weighthouse.core.prepared import Prepared

principals = Table(
    "identity_principal",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)

_STATE = Prepared(
    select(principals.c.body, principals.c.seal).where(principals.c.principal == bindparam("principal"))
)


def read_state(connection: Connection, principal: str) -> tuple[str, bytes] | None:
    """Return (body, seal) of a principal's state."""
    rows = _STATE.all(connection, principal=principal)
    return (str(rows[0][0]), bytes(rows[0][1])) if rows and rows[0][0] else None


def all_principals(connection: Connection) -> list[str]:
    """Every principal of whom a state is kept."""
    query = select(principals.c.principal).where(principals.c.body != "").order_by(principals.c.principal)
    return list(connection.execute(query).scalars())


def lock_state(connection: Connection, principal: str) -> tuple[str, bytes] | None:
    """Return (body, seal) of a principal's state with its row locked until commit; makes the row if there is none."""
    place = text(
        "INSERT INTO identity_principal (principal, version, body, seal) VALUES (:principal, 0, '', :seal)"
        " ON CONFLICT (principal) DO NOTHING"
    )
    connection.execute(place, {"principal": principal, "seal": b""})
    query = select(principals.c.body, principals.c.seal).where(principals.c.principal == principal).with_for_update()
    row = connection.execute(query).one()
    return (str(row[0]), bytes(row[1])) if row[0] else None


def write_state(connection: Connection, principal: str, version: int, body: str, seal: bytes) -> None:
    """Replace a principal's state; its row is locked already."""
    mine = principals.c.principal == principal
    connection.execute(update(principals).where(mine).values(version=version, body=body, seal=seal))
