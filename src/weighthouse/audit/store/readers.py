"""Queries over followers' cursors and over the erasable personal values beside the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from weighthouse.audit.model import Personal
from weighthouse.audit.store.tables import followers, personal
from weighthouse.core.clock import Millis
from weighthouse.core.prepared import Prepared

# Each commit wakes every follower, and each of them asks for its cursor several times.
_CURSOR = select(followers.c.next, followers.c.seal).where(followers.c.name == bindparam("follower"))
_READ, _LOCK = Prepared(_CURSOR), Prepared(_CURSOR.with_for_update())
_FIRST = text("INSERT INTO log_follower (name, next, at) VALUES (:name, 0, 0) ON CONFLICT (name) DO NOTHING")
_MOVE = (
    update(followers)
    .where(followers.c.name == bindparam("follower"))
    .values(next=bindparam("to"), at=bindparam("moved"), seal=bindparam("sealed"))
)


def cursor(conn: Connection, name: str, *, lock: bool) -> tuple[int, bytes]:
    """Return the next index of this follower and the seal over it, as stored; make the row and lock it when asked."""
    if lock:
        conn.execute(_FIRST, {"name": name})
    row = next(iter((_LOCK if lock else _READ).all(conn, follower=name)), None)
    return (int(row[0]), bytes(row[1] or b"")) if row else (0, b"")


def move_cursor(conn: Connection, name: str, to: int, at: Millis, seal: bytes) -> bool:
    """Let the follower go on at index `to`; return whether the database kept exactly that."""
    conn.execute(_MOVE, {"follower": name, "to": to, "moved": at, "sealed": seal})
    return cursor(conn, name, lock=False) == (to, seal)


def keep_personal(conn: Connection, values: Sequence[Personal]) -> None:
    """Keep salts and clear values beside the log."""
    conn.execute(
        insert(personal),
        [{"commitment": v.commitment, "owner": v.owner, "salt": v.salt, "clear": v.clear} for v in values],
    )


def find_personal(conn: Connection, commitments: Iterable[str]) -> dict[str, Personal]:
    """Return what is still kept for these commitments."""
    query = select(personal.c.commitment, personal.c.owner, personal.c.salt, personal.c.clear)
    rows = conn.execute(query.where(personal.c.commitment.in_(list(commitments))))
    return {row[0]: Personal(row[0], row[1], bytes(row[2]), row[3]) for row in rows}


def forget_personal(conn: Connection, owner: str) -> int:
    """Delete salts and clear values of one owner, overwriting the bytes in SQLite's file; return how many."""
    if conn.dialect.name == "sqlite":
        conn.exec_driver_sql("PRAGMA secure_delete = ON")
    return int(conn.execute(delete(personal).where(personal.c.owner == owner)).rowcount)
