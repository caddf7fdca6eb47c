"""The tables of policy: every bundle ever published, and the pointer to the current one.

Guards nothing by itself: whoever writes these rows without the policy key is caught by `api`, which checks the
signature of the statement, the digest of the text, and the memory outside the database.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, bindparam, insert, select, update
from sqlalchemy.exc import OperationalError

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata

bundles = Table(
    "policy_bundle",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("published_by", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

pointer = Table(
    "policy_pointer",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)


class Row(msgspec.Struct, frozen=True):
    """A bundle's row without its text."""

    version: int
    digest: str
    at: Millis
    published_by: str
    signature: bytes


# Asked by every decision, so as text on the driver's own cursor: SQLAlchemy would cost four times the query.
_CURRENT = (
    "SELECT b.version, b.digest, b.at, b.published_by, b.signature FROM policy_bundle b"
    " JOIN policy_pointer p ON p.version = b.version WHERE p.id = 1"
)
_TEXT = select(bundles.c.text, bundles.c.name).where(bundles.c.version == bindparam("version"))


def find_current(connection: Connection) -> Row | None:
    """The row that the pointer names, or None."""
    if not connection.in_transaction():
        connection.begin()
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_CURRENT)
        row = cursor.fetchone()
    except Exception as error:
        if isinstance(error, connection.dialect.loaded_dbapi.Error):
            raise OperationalError(_CURRENT, {}, error) from error
        raise
    finally:
        cursor.close()
    return Row(row[0], row[1], row[2], row[3], bytes(row[4])) if row is not None else None


def lock_pointer(connection: Connection) -> int:
    """The version the pointer names (0 if none), its row locked until commit."""
    row = connection.execute(select(pointer.c.version).where(pointer.c.id == 1).with_for_update()).first()
    return int(row[0]) if row is not None else 0


def find_text(connection: Connection, version: int) -> tuple[str, str] | None:
    """(text, name) of a version."""
    row = connection.execute(_TEXT, {"version": version}).first()
    return (str(row[0]), str(row[1])) if row is not None else None


def digest_of_version(connection: Connection, version: int) -> str:
    """The digest of a version, empty if there is none."""
    return str(connection.execute(select(bundles.c.digest).where(bundles.c.version == version)).scalar() or "")


def add(connection: Connection, row: Row, name: str, text: str) -> None:
    """Insert a bundle and point to it."""
    connection.execute(
        insert(bundles).values(
            version=row.version,
            digest=row.digest,
            name=name,
            text=text,
            at=row.at,
            published_by=row.published_by,
            signature=row.signature,
        )
    )
    moved = connection.execute(update(pointer).where(pointer.c.id == 1).values(version=row.version)).rowcount
    if not moved:
        connection.execute(insert(pointer).values(id=1, version=row.version))
