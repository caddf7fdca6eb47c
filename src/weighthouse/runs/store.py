"""Tables of runs and their output. Guards everybody from one row: what cannot be read takes no other row with it.

Nothing that is returned here is believed yet; whether a row is the one that was submitted, `api/sealing.py` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata
from weighthouse.core.keyset import ordered
from weighthouse.core.paging import Place
from weighthouse.runs.model import ENDED, GONE, OPEN, Facts, Line, LogLine, Order, Point, Run, Ticket

runs = Table(
    "runs_run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("grant_id", Text),
    Column("state", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("order_text", Text, nullable=False),
    Column("order_digest", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("submitted", BigInteger, nullable=False),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    Column("must_end", BigInteger, nullable=False),
    Column("exit_status", BigInteger),
    Column("reason", Text, nullable=False),
    Column("stop_asked", Text, nullable=False),
    Column("stopped_by", Text, nullable=False),
    Column("stop_text", Text, nullable=False),
    Column("progress", BigInteger, nullable=False),
    Column("loss_micro", BigInteger),
    Column("note", Text, nullable=False),
    Column("facts", Text),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("process", Text, nullable=False),
    Column("account", Text, nullable=False, server_default=""),
    Index("ix_runs_run_state", "state"),
    Index("ix_runs_run_owner", "owner"),
)

lines = Table(
    "runs_line",
    metadata,
    Column("run", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("stream", Text, nullable=False),
    Column("text", Text, nullable=False),
)


points = Table(
    "runs_point",
    metadata,
    Column("run", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("progress", BigInteger, nullable=False),
    Column("loss_micro", BigInteger, nullable=False),
)


def add(conn: Connection, ticket: Ticket, order_digest: str, seal: bytes) -> None:
    """Insert a queued run."""
    conn.execute(
        insert(runs).values(
            id=ticket.run,
            model=ticket.order.model,
            owner=ticket.owner,
            account=ticket.account,
            session=ticket.session,
            grant_id=ticket.grant,
            state="queued",
            tier=ticket.tier,
            order_text=msgspec.json.encode(ticket.order).decode(),
            order_digest=order_digest,
            seal=seal,
            submitted=ticket.submitted,
            must_end=ticket.must_end,
            reason="",
            stop_asked="",
            stopped_by="",
            stop_text="",
            progress=0,
            note="",
            sent_bytes=0,
            process="",
        )
    )


MOST = 2**53


class Kept(NamedTuple):
    """One row as it stands; what it tells is None where it cannot be read."""

    id: str
    run: Run | None
    ticket: Ticket | None
    seal: bytes


def _kept(row: Row[Any]) -> Kept:
    try:
        run, ticket, seal = _read(row)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return Kept(str(row.id), None, None, b"")
    return Kept(run.id, run, ticket, seal)


def _read(row: Row[Any]) -> tuple[Run, Ticket, bytes]:
    named = {*Run.__struct_fields__, *Ticket.__struct_fields__} - {"run", "grant", "order", "facts"}
    fields = {name: getattr(row, name) for name in named}
    fields |= {"run": row.id, "grant": row.grant_id}
    fields["order"] = msgspec.json.decode(row.order_text, type=Order)
    fields["facts"] = msgspec.json.decode(row.facts, type=Facts) if row.facts is not None else None
    for value in row:
        if isinstance(value, str):
            value.encode()  # what is no text ends every answer that it would be part of
        elif isinstance(value, int) and not -MOST < value < MOST:
            raise ValueError(value)
    if not isinstance(row.seal, bytes | memoryview):
        raise TypeError(row.seal)
    return msgspec.convert(fields, Run), msgspec.convert(fields, Ticket), bytes(row.seal)


def find(conn: Connection, run: str, *, lock: bool = False) -> Kept | None:
    """Return the row of a run, None if there is none."""
    query = select(runs).where(runs.c.id == run)
    row = conn.execute(query.with_for_update() if lock else query).first()
    return _kept(row) if row else None


def ticket(conn: Connection, run: str) -> tuple[Ticket, bytes] | None:
    """Return what the row says was ordered and the seal over it, None if it says nothing."""
    kept = find(conn, run)
    return (kept.ticket, kept.seal) if kept is not None and kept.ticket is not None else None


def page(conn: Connection, *, owner: str | None, place: Place | None, limit: int) -> list[Kept]:
    """Return rows from `place` on, newest first; of one owner, or of everybody."""
    query = ordered(select(runs), ((runs.c.id, True),), place)
    if owner is not None:
        query = query.where(runs.c.owner == owner)
    return [_kept(row) for row in conn.execute(query.limit(limit))]


def queued(conn: Connection) -> list[str]:
    """Return the runs that wait, the one that has waited longest first. An id that is no text was never given."""
    found = conn.execute(select(runs.c.id).where(runs.c.state == "queued").order_by(runs.c.id)).scalars()
    return [run for run in found if isinstance(run, str)]


def any_begun(conn: Connection) -> bool:
    """Return whether any run has ever left the queue here."""
    return conn.execute(select(runs.c.id).where(runs.c.state != "queued").limit(1)).first() is not None


def open_runs(conn: Connection, **where: str) -> list[Kept]:
    """Return the rows of runs that have not ended, those whose columns equal `where`."""
    query = select(runs).where(runs.c.state.in_(sorted(OPEN)))
    for name, value in where.items():
        query = query.where(runs.c[name] == value)
    return [_kept(row) for row in conn.execute(query.order_by(runs.c.id))]


def change(conn: Connection, run: str, *, expect: Sequence[str] | None, **values: object) -> bool:
    """Update a run if its state is one of `expect`, None being whatever it is; return whether it was."""
    where = update(runs).where(runs.c.id == run)
    if expect is not None:
        where = where.where(runs.c.state.in_(tuple(expect)))
    return bool(conn.execute(where.values(**values)).rowcount)


def stop_of(conn: Connection, run: str) -> tuple[str, str, str]:
    """Return (code, by, text) of what asked a run to stop; empty texts when nothing did. One without a row stops."""
    found = select(runs.c.stop_asked, runs.c.stopped_by, runs.c.stop_text).where(runs.c.id == run)
    row = conn.execute(found).first() or (GONE, "system", "")
    return str(row[0]), str(row[1]), str(row[2])


def processes(conn: Connection) -> list[tuple[str, str]]:
    """Return (run, process mark) of every run that a server was executing: whatever neither waits nor has ended."""
    query = select(runs.c.id, runs.c.process).where(runs.c.state.not_in(sorted({"queued", *ENDED})))
    return [(str(row[0]), str(row[1])) for row in conn.execute(query)]


def add_lines(conn: Connection, run: str, at: Millis, new: Sequence[Line]) -> None:
    """Append output to a run's log."""
    top = conn.execute(select(func.coalesce(func.max(lines.c.number), 0)).where(lines.c.run == run)).scalar_one()
    values = [
        {"run": run, "number": top + i, "at": at, "stream": line.stream, "text": line.text}
        for i, line in enumerate(new, 1)
    ]
    if values:
        conn.execute(insert(lines), values)


def lines_after(conn: Connection, run: str, after: int, limit: int) -> list[LogLine]:
    """Return lines numbered above `after`."""
    query = select(lines).where(lines.c.run == run, lines.c.number > after).order_by(lines.c.number).limit(limit)
    return [LogLine(row.number, row.at, row.stream, row.text) for row in conn.execute(query)]


def last_lines(conn: Connection, run: str, limit: int) -> list[LogLine]:
    """Return the last lines of a run's log, in order."""
    query = select(lines).where(lines.c.run == run).order_by(lines.c.number.desc()).limit(limit)
    return [LogLine(row.number, row.at, row.stream, row.text) for row in conn.execute(query)][::-1]


def add_point(conn: Connection, run: str, point: Point, most: int) -> None:
    """Append a report; when there are `most`, every second one goes, so that a long run never fills the table."""
    query = select(points.c.number).where(points.c.run == run).order_by(points.c.number)
    numbers = list(conn.execute(query).scalars())
    if len(numbers) >= most:
        conn.execute(delete(points).where(points.c.run == run, points.c.number.in_(numbers[2::2])))
    number = numbers[-1] + 1 if numbers else 1
    conn.execute(insert(points).values(run=run, **{**msgspec.structs.asdict(point), "number": number}))


def points_of(conn: Connection, run: str) -> list[Point]:
    """Return a run's reports in order."""
    rows = conn.execute(select(points).where(points.c.run == run).order_by(points.c.number))
    return [Point(row.number, row.at, row.progress, row.loss_micro) for row in rows]
