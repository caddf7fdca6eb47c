"""Tables of ways, credits and the ledger. Guards the sums: bytes are kept by five-minute bucket and account.

Counters of proxies end with their process (research case 55). No row is believed where this server knows better: see
`api/accounts.py` and `api/remembered.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Row,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from weighthouse.core.clock import MINUTE, SECOND, Millis
from weighthouse.core.database import metadata
from weighthouse.egress.model import WINDOWS, Credit, Key, WayRow

BUCKET: Millis = 5 * MINUTE
# What was lent in one bucket may leave this much into the next: an open way is settled five times a second, which
# moves its credit into the bucket of now, and one that is not settled is closed after two seconds.
CARRIED: Millis = 10 * SECOND

ways = Table(
    "egress_way",
    metadata,
    Column("run", Text, primary_key=True),
    Column("token_digest", Text, nullable=False, unique=True),
    Column("profile", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("opened", BigInteger, nullable=False),
    Column("closed", BigInteger),
    Column("spent_at", BigInteger),
    Column("refused", BigInteger, nullable=False),
    Column("connected", BigInteger, nullable=False, server_default="0"),
    Column("muted_at", BigInteger),
    Column("person", Text, nullable=False, server_default=""),
    Column("leads", Text, nullable=False, server_default=""),
)

refusals = Table(
    "egress_refusal",
    metadata,
    Column("run", Text, primary_key=True),
    Column("mark", Text, primary_key=True),
)

lent = Table(
    "egress_credit",
    metadata,
    Column("run", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("granted", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("last_bucket", BigInteger, nullable=False),
    Column("last_bytes", BigInteger, nullable=False),
)

payers = Table(
    "egress_payer",
    metadata,
    Column("run", Text, primary_key=True),
    Column("model", Text, primary_key=True),
)

accounts = Table(
    "egress_account",
    metadata,
    Column("level", Text, primary_key=True),
    Column("name", Text, primary_key=True),
)

ledger = Table(
    "egress_ledger",
    metadata,
    Column("level", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Index("ix_egress_ledger_bucket", "bucket"),
)


def add_way(conn: Connection, row: WayRow, token_digest: str) -> None:
    """Insert a way that was just opened."""
    conn.execute(
        insert(ways).values(
            run=row.run,
            token_digest=token_digest,
            profile=row.profile,
            model=row.model,
            person=row.person,
            leads=row.leads,
            opened=row.opened,
            refused=0,
        )
    )


def way(conn: Connection, run: str, *, lock: bool = False) -> WayRow | None:
    """Return the way of a run, None if it never had one."""
    query = select(ways).where(ways.c.run == run)
    return _way(conn.execute(query.with_for_update() if lock else query).first())


def put_way(conn: Connection, row: WayRow, token_digest: str) -> None:
    """Let a row say what its way is."""
    values = {name: getattr(row, name) for name in WayRow.__struct_fields__}
    conn.execute(update(ways).where(ways.c.run == row.run).values(token_digest=token_digest, **values))


def open_ways(conn: Connection) -> list[WayRow]:
    """Return every way that is not closed."""
    found = (_way(row) for row in conn.execute(select(ways).where(ways.c.closed.is_(None)).order_by(ways.c.run)))
    return [row for row in found if row is not None]


def _way(row: Row[tuple[object, ...]] | None) -> WayRow | None:
    if row is None:
        return None
    return WayRow(**{name: getattr(row, name) for name in WayRow.__struct_fields__})


def count_refusal(conn: Connection, run: str) -> None:
    conn.execute(update(ways).where(ways.c.run == run).values(refused=ways.c.refused + 1))


def is_new_refusal(conn: Connection, run: str, mark: str, most: int) -> bool:
    """Remember that a run was refused what `mark` stands for; return whether the log should name it still."""
    seen = {row.mark for row in conn.execute(select(refusals.c.mark).where(refusals.c.run == run))}
    if mark in seen or len(seen) >= most:
        return False
    conn.execute(insert(refusals).values(run=run, mark=mark))
    return True


def count_connection(conn: Connection, run: str) -> None:
    conn.execute(update(ways).where(ways.c.run == run).values(connected=ways.c.connected + 1))


def mark_spent(conn: Connection, run: str, at: Millis) -> bool:
    """Remember that the budget of a way is spent; return whether this was the first time."""
    return bool(
        conn.execute(update(ways).where(ways.c.run == run, ways.c.spent_at.is_(None)).values(spent_at=at)).rowcount
    )


def mark_muted(conn: Connection, run: str, at: Millis) -> None:
    conn.execute(update(ways).where(ways.c.run == run).values(muted_at=at))


def mark_closed(conn: Connection, run: str, at: Millis) -> bool:
    """Close a way; return whether it was open."""
    return bool(
        conn.execute(update(ways).where(ways.c.run == run, ways.c.closed.is_(None)).values(closed=at)).rowcount
    )


def credits_of(conn: Connection, run: str) -> dict[str, Credit]:
    """Return what was lent to a run, by destination."""
    rows = conn.execute(select(lent).where(lent.c.run == run))
    found = [Credit(**{name: getattr(row, name) for name in Credit.__struct_fields__}) for row in rows]
    return {credit.destination: credit for credit in found}


def keep_credit(conn: Connection, credit: Credit) -> None:
    """Insert or replace what was lent for one destination."""
    values = {name: getattr(credit, name) for name in Credit.__struct_fields__}
    same = (lent.c.run == credit.run, lent.c.destination == credit.destination)
    if not conn.execute(update(lent).where(*same).values(**values)).rowcount:
        conn.execute(insert(lent).values(**values))


def drop_credits(conn: Connection, run: str) -> None:
    conn.execute(delete(lent).where(lent.c.run == run))


def payers_of(conn: Connection, run: str) -> list[str]:
    """Return the models that have joined those which pay for a run."""
    return list(conn.execute(select(payers.c.model).where(payers.c.run == run)).scalars())


def add_payer(conn: Connection, run: str, model: str) -> None:
    conn.execute(insert(payers).values(run=run, model=model))


def lock_accounts(conn: Connection, keys: Iterable[Key]) -> None:
    """Lock the accounts that will pay, in one order, so that two leases never wait for each other in a circle."""
    for key in sorted(keys, key=lambda key: (key.level, key.name)):
        same = (accounts.c.level == key.level, accounts.c.name == key.name)
        if conn.execute(select(accounts).where(*same).with_for_update()).first() is None:
            _insert_account(conn, key)
            conn.execute(select(accounts).where(*same).with_for_update())


def _insert_account(conn: Connection, key: Key) -> None:
    if conn.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as tolerant
    else:
        from sqlalchemy.dialects.sqlite import insert as tolerant  # type: ignore[assignment]
    conn.execute(tolerant(accounts).values(level=key.level, name=key.name).on_conflict_do_nothing())


def oldest(now: Millis, span: Millis) -> int:
    """Return the first bucket that may hold a byte which left within `span` of now."""
    return (now - span - CARRIED) // BUCKET


def spent(conn: Connection, key: Key, now: Millis) -> dict[Millis, int]:
    """Return the bytes debited in each sliding window; the oldest bucket counts whole, on the safe side."""
    sums = [
        func.coalesce(func.sum(case((ledger.c.bucket >= oldest(now, span), ledger.c.bytes), else_=0)), 0)
        for span in WINDOWS
    ]
    same = (ledger.c.level == key.level, ledger.c.name == key.name, ledger.c.bucket >= oldest(now, max(WINDOWS)))
    return dict(zip(WINDOWS, (int(one) for one in conn.execute(select(*sums).where(*same)).one()), strict=True))


def buckets(conn: Connection, key: Key) -> dict[int, int]:
    """Return the bytes of an account by bucket."""
    same = (ledger.c.level == key.level, ledger.c.name == key.name)
    rows = conn.execute(select(ledger.c.bucket, ledger.c.bytes).where(*same))
    return {int(row.bucket): int(row.bytes) for row in rows}


def debit(conn: Connection, key: Key, bucket: int, count: int) -> None:
    """Add bytes to an account's bucket; a negative count hands back what was lent from that same bucket."""
    same = (ledger.c.level == key.level, ledger.c.name == key.name, ledger.c.bucket == bucket)
    if not conn.execute(update(ledger).where(*same).values(bytes=ledger.c.bytes + count)).rowcount:
        conn.execute(insert(ledger).values(level=key.level, name=key.name, bucket=bucket, bytes=count))


def forget_before(conn: Connection, bucket: int) -> int:
    """Drop buckets that no window reaches any more."""
    return conn.execute(delete(ledger).where(ledger.c.bucket < bucket)).rowcount
