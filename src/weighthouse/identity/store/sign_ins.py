"""Begun sign-ins, and what came of the finished ones (history for the risk check; failures for the spray rule).

Addresses and accounts are kept as keyed marks, which group but do not tell.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    Table,
    Text,
    delete,
    distinct,
    func,
    insert,
    select,
)

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata

MOST_STARTS = (
    20_000  # anybody may begin a sign-in, so what is kept of that is bounded; ten minutes' worth of a big lab
)

starts = Table(
    "identity_start",
    metadata,
    Column("secret", Text, primary_key=True),
    Column("expires", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Index(None, "expires"),
)

results = Table(
    "identity_result",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Index(None, "person", "outcome", "at"),
    Index(None, "origin", "outcome", "at"),
    Index(None, "country", "outcome", "at"),
)


def insert_start(connection: Connection, *, secret: str, expires: Millis, body: str, seal: bytes) -> None:
    connection.execute(insert(starts).values(secret=secret, expires=expires, body=body, seal=seal))


def read_start(connection: Connection, secret: str) -> tuple[str, bytes] | None:
    row = connection.execute(select(starts.c.body, starts.c.seal).where(starts.c.secret == secret)).first()
    return (str(row[0]), bytes(row[1])) if row else None


def take_start(connection: Connection, secret: str) -> bool:
    """Remove a begun sign-in; True for exactly one of two that try at once."""
    return connection.execute(delete(starts).where(starts.c.secret == secret)).rowcount == 1


def forget_starts(connection: Connection, before: Millis) -> None:
    """Forget begun sign-ins that have run out, and the oldest beyond the most that are kept."""
    connection.execute(delete(starts).where(starts.c.expires < before))
    beyond = select(starts.c.expires).order_by(starts.c.expires.desc()).offset(MOST_STARTS).limit(1)
    edge = connection.execute(beyond).scalar()
    if edge is not None:
        connection.execute(delete(starts).where(starts.c.expires <= edge))


def known_result(connection: Connection, result: str) -> bool:
    return connection.execute(select(results.c.id).where(results.c.id == result)).first() is not None


def insert_result(
    connection: Connection,
    *,
    result: str,
    at: Millis,
    outcome: str,
    person: str,
    account: str,
    origin: str,
    country: str = "",
    body: str = "",
    seal: bytes = b"",
) -> None:
    connection.execute(
        insert(results).values(
            id=result,
            at=at,
            outcome=outcome,
            person=person,
            account=account,
            origin=origin,
            country=country,
            body=body,
            seal=seal,
        )
    )


def successes(connection: Connection, person: str, *, since: Millis, limit: int = 500) -> list[tuple[str, bytes]]:
    """Return (body, seal) of a person's successful sign-ins since `since`, newest first."""
    query = (
        select(results.c.body, results.c.seal)
        .where(results.c.person == person, results.c.outcome == "success", results.c.at > since)
        .order_by(results.c.at.desc())
        .limit(limit)
    )
    return [(str(row[0]), bytes(row[1])) for row in connection.execute(query)]


def failing_accounts(connection: Connection, origin: str, *, since: Millis) -> int:
    """Return how many distinct accounts have failed from one address since `since`, and whose person has not got in
    from there after that: who mistyped and then signed in is nobody's victim."""
    later = results.alias()
    got_in = select(later.c.id).where(
        later.c.origin == origin,
        later.c.outcome == "success",
        later.c.person == results.c.person,
        later.c.at > results.c.at,
    )
    query = select(func.count(distinct(results.c.account))).where(
        results.c.origin == origin, results.c.outcome == "failure", results.c.at > since, ~got_in.exists()
    )
    return int(connection.execute(query).scalar_one())


def lab_has_seen(connection: Connection, country: str, *, since: Millis, enough: int) -> tuple[int, bool]:
    """Return how many successes the lab has had (counted to `enough`), and whether one was from `country`."""
    some = select(results.c.id).where(results.c.outcome == "success", results.c.at > since).limit(enough).subquery()
    total = int(connection.execute(select(func.count()).select_from(some)).scalar_one())
    here = select(results.c.id).where(
        results.c.country == country, results.c.outcome == "success", results.c.at > since
    )
    return total, connection.execute(here.limit(1)).first() is not None


def forget_results(connection: Connection, before: Millis) -> int:
    return connection.execute(delete(results).where(results.c.at < before)).rowcount
