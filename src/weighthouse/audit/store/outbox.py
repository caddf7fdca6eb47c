"""PostgreSQL's outbox: entries that are committed with their change and wait for the one sequencer.

Guards against a skipped row: a transaction that commits late has an older number than ones already seen, so rows are
taken only once every transaction below them has ended (`pg_snapshot_xmin`), after which no older one can appear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, insert, select, text
from sqlalchemy.exc import IntegrityError

from weighthouse.audit.store.tables import outbox
from weighthouse.core.clock import Millis

LostRace = IntegrityError
"""What inserting raises when another server inserted the same row first."""


class Waiting(NamedTuple):
    """One row that waits for the sequencer. Rows of before there were lanes have none."""

    id: int
    xid: int
    leaf: bytes
    mac: bytes
    lane: str = ""
    number: int = 0
    prev: bytes = b""


class Row(NamedTuple):
    """What is written of one row."""

    xid: int
    leaf: bytes
    mac: bytes
    lane: str
    number: int
    prev: bytes


class State(NamedTuple):
    """The transaction's number, about how many rows wait, the log's epoch and floor, whether a lane's last row waits,
    and whether the head tells of a certain other lane."""

    xid: int
    waiting: int
    epoch: int
    floor: int
    last_waits: bool
    told: bool


_STATE = text(
    "SELECT pg_current_xact_id()::text::bigint, "
    "coalesce((SELECT last_value FROM log_outbox_id_seq) - (SELECT min(id) FROM log_outbox) + 1, 0), "
    "coalesce((SELECT epoch FROM log_head), 0), "
    "coalesce((SELECT floor FROM log_head), 0), "
    "EXISTS (SELECT 1 FROM log_outbox WHERE lane = :lane AND number = :number), "
    "coalesce((SELECT strpos(lanes, :told) > 0 FROM log_head), false)"
)
_COLUMNS = (outbox.c.id, outbox.c.xid, outbox.c.leaf, outbox.c.mac, outbox.c.lane, outbox.c.number, outbox.c.prev)
_WAITING = select(*_COLUMNS)
ENDS = text(
    "(SELECT id, xid, leaf, mac, lane, number, prev FROM log_outbox ORDER BY xid, id LIMIT :most) UNION "
    "(SELECT id, xid, leaf, mac, lane, number, prev FROM log_outbox ORDER BY xid DESC, id DESC LIMIT :most)"
)
_COUNT = text("SELECT count(*) FROM (SELECT FROM log_outbox LIMIT :most) AS found")
_BARRIER = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_OURS = text(
    "SELECT coalesce(min(x::text::bigint), (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint)) "
    "FROM pg_snapshot_xip(pg_current_snapshot()) AS x WHERE NOT EXISTS (SELECT FROM pg_locks AS l "
    "JOIN pg_stat_activity AS a ON a.pid = l.pid JOIN pg_database AS d ON d.oid = a.datid "
    "WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.transactionid = x::xid "
    "AND d.datname <> current_database())"
)
_UNCOUNTED = outbox.c.xid >= text("pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
_LANES = text(
    "SELECT lane, min(number), max(number), count(*) FROM log_outbox WHERE lane = ANY(:lanes) GROUP BY lane"
)


def transaction(conn: Connection, lane: str, number: int, told: str) -> State:
    """Return the state of the outbox, as the transaction sees it that adds to `lane` after its row `number`.

    `told` is the lane of which the head may tell.
    """
    return State(*conn.execute(_STATE, {"lane": lane, "number": number, "told": f'"{told}"'}).one())


def put(conn: Connection, at: Millis, rows: Sequence[Row]) -> None:
    """Add rows in the transaction of their change."""
    conn.execute(insert(outbox), [{"at": at, **row._asdict()} for row in rows])


def kept(conn: Connection, lane: str, first: int) -> list[Row]:
    """Return the rows of a lane from number `first` on, as the database holds them."""
    query = select(*_COLUMNS[1:]).where(outbox.c.lane == lane, outbox.c.number >= first).order_by(outbox.c.number)
    return [Row(row[0], bytes(row[1]), bytes(row[2]), row[3], row[4], bytes(row[5])) for row in conn.execute(query)]


def lanes(conn: Connection, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Return the smallest and the largest number, and the count, of the rows that wait in each of these lanes."""
    found = conn.execute(_LANES, {"lanes": list(names)})
    return {str(row[0]): (int(row[1]), int(row[2]), int(row[3])) for row in found}


def barrier(conn: Connection) -> int:
    """Return the smallest transaction number that is still running: everything below it has ended."""
    return int(conn.execute(_BARRIER).scalar_one())


def own_barrier(conn: Connection) -> int:
    """Return the smallest number of a transaction that is running and not proven to be of another database.

    A transaction has one number and one database for as long as it lives, holds the lock on its number, and can
    write rows in that database alone; one that holds no lock yet counts as ours.
    """
    return int(conn.execute(_OURS).scalar_one())


def take(conn: Connection, below: int, limit: int) -> tuple[list[Waiting], int]:
    """Return about `limit` rows of ended transactions in order, and the number below which no row is left.

    A transaction is taken whole, so that a row which turns up below that number later can only be a copy.
    """
    query = _WAITING.where(outbox.c.xid < below).order_by(outbox.c.xid, outbox.c.id)
    rows = _read(conn, query.limit(limit))
    if len(rows) < limit:
        return rows, below
    last = rows[-1]
    rest = _WAITING.where(outbox.c.xid == last.xid, outbox.c.id > last.id).order_by(outbox.c.id)
    return rows + _read(conn, rest), last.xid + 1


def everything(conn: Connection) -> list[Waiting]:
    """Return every row in the order of insertion: where rows of two clusters wait, their numbers have no order."""
    return _read(conn, _WAITING.order_by(outbox.c.id))


def uncounted(conn: Connection, limit: int) -> list[Waiting]:
    """Return rows of transactions that this cluster has not come to yet: no snapshot of the cluster that wrote them
    shows any."""
    return _read(conn, _WAITING.where(_UNCOUNTED).order_by(outbox.c.id).limit(limit))


def _read(conn: Connection, query: Select[Any]) -> list[Waiting]:
    return _waiting(conn.execute(query))


def _waiting(rows: Iterable[Any]) -> list[Waiting]:
    return [
        Waiting(row[0], row[1], bytes(row[2]), bytes(row[3]), row[4] or "", row[5] or 0, bytes(row[6] or b""))
        for row in rows
    ]


def drop(conn: Connection, ids: Sequence[int]) -> None:
    """Remove rows that are in the log now."""
    conn.execute(delete(outbox).where(outbox.c.id.in_(ids)))


def below(conn: Connection, barrier: int) -> bool:
    """Whether a row waits below a transaction's number."""
    return conn.execute(_WAITING.where(outbox.c.xid < barrier).limit(1)).first() is not None


def waiting(conn: Connection, most: int) -> int:
    """Return how many rows wait, at most `most`: whoever writes the database makes nobody count more."""
    return int(conn.execute(_COUNT, {"most": most}).scalar_one())


def ends(conn: Connection, most: int) -> list[Waiting]:
    """Return the rows that the sequencer comes to next, and those that it comes to last or never."""
    return _waiting(conn.execute(ENDS, {"most": most}))
