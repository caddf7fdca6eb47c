"""The tables of policy: every bundle ever published, and the pointer to the current one.

Guards nothing by itself: whoever writes these rows without the policy key is caught by `api`, which checks the
signature of the statement, the digest of the text, and the memory outside the database.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, bindparam, insert, select, update

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata
from weighthouse.core.prepared import Prepared

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


_CURRENT = Prepared(
    select(bundles.c.version, bundles.c.digest, bundles.c.at, bundles.c.published_by, bundles.c.signature)
    .join(pointer, pointer.c.version == bundles.c.version)
    .where(pointer.c.id == 1)
)
_TEXT = select(bundles.c.text, bundles.c.name).where(bundles.c.version == bindparam("version"))


def find_current(connection: Connection) -> Row | None:
    """The row that the pointer names, or None. Asked by every decision."""
    rows = _CURRENT.all(connection)
    return Row(rows[0][0], rows[0][1], rows[0][2], rows[0][3], bytes(rows[0][4])) if rows else None


def lock_pointer(connection: Connection) -> int:
    """The version the pointer names (0 if none), its row locked until commit."""
    row = connection.execute(select(pointer.c.version).where(pointer.c.id == 1).with_for_update()).first()
    return int(row[0]) if row is not None else 0


def find_text(connection: Connection, version: int) -> tuple[str, str] | None:
    """(text, name) of a version."""
    row = connection.execute(_TEXT, {"version": version}).first()
    return (str(row[0]), str(row[1])) if row is not None else None


def find_by_digest(connection: Connection, digest: str) -> list[Row]:
    """The bundles that say they are exactly this text, the newest first."""
    query = select(bundles).where(bundles.c.digest == digest).order_by(bundles.c.version.desc())
    return [
        Row(row["version"], row["digest"], row["at"], row["published_by"], bytes(row["signature"]))
        for row in connection.execute(query).mappings()
    ]


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
