"""Queries over entries, tiles, head and cosigned checkpoints. Rows are hearsay until a reader has checked them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from weighthouse.audit.model import Leaf
from weighthouse.audit.store.tables import cosigned, entries, tiles
from weighthouse.core.clock import Millis


class HeadRow(NamedTuple):
    """The head as stored."""

    size: int
    root: bytes
    note: str
    at: Millis
    fencing: int
    floor: int
    epoch: int
    seal: bytes
    lanes: str = ""


class EntryRow(NamedTuple):
    """One entry as stored: the columns are only indexes over what the leaf says."""

    place: int
    at: Millis
    kind: str
    subject: str
    leaf: bytes


_ENTRY = select(entries.c.idx, entries.c.at, entries.c.kind, entries.c.subject, entries.c.leaf)
_TILE = select(tiles.c.hashes)

# The four statements of every append, as plain text that SQLite gets past SQLAlchemy: composing them anew each time,
# and making a result of each, costs several times what running them does.
_HEAD_COLUMNS = "size, root, note, at, fencing, floor, epoch, seal, lanes"
_READ_HEAD = f"SELECT {_HEAD_COLUMNS} FROM log_head WHERE id = 1"  # noqa: S608 - a constant
_WRITE_HEAD = (
    f"INSERT INTO log_head (id, {_HEAD_COLUMNS}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _HEAD_COLUMNS.split(", "))
)
_WRITE_ENTRY = "INSERT INTO log_entry (idx, at, kind, subject, leaf) VALUES (?, ?, ?, ?, ?)"
_WRITE_TILE = (
    "INSERT INTO log_tile (level, idx, hashes) VALUES (?, ?, ?) "
    "ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes"
)


def _write(conn: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    """Run a statement for each row."""
    if conn.dialect.name != "sqlite":
        conn.exec_driver_sql(statement.replace("?", "%s"), rows)
        return
    if not conn.in_transaction():
        conn.begin()
    try:
        conn.connection.cursor().executemany(statement, rows)
    except sqlite3.IntegrityError as error:
        raise IntegrityError(statement, None, error) from error
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error


def read_head(conn: Connection, *, lock: bool = False) -> HeadRow | None:
    """Return the stored head, locking it where the database has row locks."""
    if conn.dialect.name == "sqlite":
        row = _read_directly(conn, _READ_HEAD)
    else:
        row = conn.exec_driver_sql(_READ_HEAD + " FOR UPDATE" if lock else _READ_HEAD).first()
    if not row:
        return None
    return HeadRow(row[0], bytes(row[1]), row[2], row[3], row[4], row[5], row[6], bytes(row[7]), row[8] or "")


def _read_directly(conn: Connection, statement: str) -> Any:
    """Fetch one row."""
    if not conn.in_transaction():
        conn.begin()
    try:
        return conn.connection.cursor().execute(statement).fetchone()
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error


def write_head(conn: Connection, row: HeadRow) -> None:
    """Put the head in place."""
    _write(conn, _WRITE_HEAD, [tuple(row)])


def write_entries(conn: Connection, first: int, leaves: Sequence[tuple[Leaf, bytes]]) -> None:
    """Insert entries at consecutive indexes from `first`; the primary key refuses an index that is taken."""
    rows: list[tuple[Any, ...]] = [
        (first + i, leaf.at, leaf.kind, leaf.subject, data) for i, (leaf, data) in enumerate(leaves)
    ]
    _write(conn, _WRITE_ENTRY, rows)


def leaves(conn: Connection, first: int) -> list[bytes]:
    """Return the leaves from index `first` on, as the database holds them."""
    query = "SELECT leaf FROM log_entry WHERE idx >= ? ORDER BY idx"
    if conn.dialect.name != "sqlite":
        return [bytes(row[0]) for row in conn.exec_driver_sql(query.replace("?", "%s"), (first,))]
    return [bytes(row[0]) for row in conn.connection.cursor().execute(query, (first,))]


def write_tiles(conn: Connection, changed: Mapping[tuple[int, int], bytes]) -> None:
    """Insert or widen tiles."""
    _write(conn, _WRITE_TILE, [(*place, hashes) for place, hashes in changed.items()])


def read_tile(conn: Connection, level: int, index: int) -> bytes:
    """Return the bytes of a tile, empty if there is none."""
    row = conn.execute(_TILE.where(tiles.c.level == level, tiles.c.idx == index)).first()
    return bytes(row[0]) if row else b""


def read_entries(
    conn: Connection,
    *,
    start: int,
    end: int,
    limit: int,
    kind: str | None = None,
    subject: str | None = None,
    newest_first: bool = False,
) -> list[EntryRow]:
    """Return up to `limit` entries with index in [start, end), by index, or from the end."""
    query = _ENTRY.where(entries.c.idx >= start, entries.c.idx < end).limit(limit)
    if kind is not None:
        query = query.where(entries.c.kind == kind)
    if subject is not None:
        query = query.where(entries.c.subject == subject)
    query = query.order_by(entries.c.idx.desc() if newest_first else entries.c.idx)
    return [EntryRow(row[0], row[1], row[2], row[3], bytes(row[4])) for row in conn.execute(query)]


def entries_at(conn: Connection, places: Sequence[int]) -> list[EntryRow]:
    """Return the entries at these indexes, in no order, without those that are missing."""
    query = _ENTRY.where(entries.c.idx.in_(list(places)))
    return [EntryRow(row[0], row[1], row[2], row[3], bytes(row[4])) for row in conn.execute(query)]


def scan_entries(conn: Connection) -> Iterator[EntryRow]:
    """Yield every stored entry by index, whatever its index claims to be."""
    last: int | None = None
    while True:
        query = _ENTRY.order_by(entries.c.idx).limit(1024)
        rows = conn.execute(query if last is None else query.where(entries.c.idx > last)).all()
        for row in rows:
            yield EntryRow(row[0], row[1], row[2], row[3], bytes(row[4]))
        if not rows:
            return
        last = rows[-1][0]


def count_entries(conn: Connection) -> int:
    """Return how many entry rows there are."""
    return int(conn.execute(select(func.count()).select_from(entries)).scalar_one())


def tile_places(conn: Connection) -> list[tuple[int, int]]:
    """Return (level, index) of every stored tile, for spotting tiles that belong to no tree."""
    return [(row[0], row[1]) for row in conn.execute(select(tiles.c.level, tiles.c.idx))]


def keep_cosigned(conn: Connection, size: int, note: str, at: Millis) -> None:
    """Keep a checkpoint with its cosignatures, replacing what was kept for the same size."""
    values = {"note": note, "at": at}
    if not conn.execute(update(cosigned).where(cosigned.c.size == size).values(**values)).rowcount:
        conn.execute(insert(cosigned).values(size=size, **values))


def read_cosigned(conn: Connection) -> list[tuple[int, str]]:
    """Return (size, note) of every cosigned checkpoint that is kept, the largest first."""
    query = select(cosigned.c.size, cosigned.c.note).order_by(cosigned.c.size.desc())
    return [(int(row[0]), str(row[1])) for row in conn.execute(query)]


def drop_cosigned(conn: Connection, sizes: Sequence[int]) -> None:
    """Remove cosigned checkpoints that newer ones have replaced."""
    conn.execute(delete(cosigned).where(cosigned.c.size.in_(sizes)))
