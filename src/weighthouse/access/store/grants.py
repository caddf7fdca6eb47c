"""Grants. The columns beside the statement are for finding rows; what counts is the sealed statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, case, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from weighthouse.access.model import Grant
from weighthouse.access.store.tables import grants
from weighthouse.core.clock import Millis
from weighthouse.core.keyset import ordered
from weighthouse.core.paging import Key, Place
from weighthouse.core.prepared import Prepared


class StoredGrant(msgspec.Struct, frozen=True):
    """A grant's row as it stands in the database, believed by nobody yet."""

    id: str
    request: str
    person: str
    resource: str
    entitlement: str
    not_before: Millis
    end: Millis
    statement: str
    seal: bytes
    state: str
    ended: Millis | None
    ended_why: str
    ended_by: str
    row: int


_COLUMNS = (
    grants.c.id,
    grants.c.request,
    grants.c.person,
    grants.c.resource,
    grants.c.entitlement,
    grants.c.not_before,
    grants.c.end_at,
    grants.c.statement,
    grants.c.seal,
    grants.c.state,
    grants.c.ended,
    grants.c.ended_why,
    grants.c.ended_by,
    grants.c.row,
)
_USE = Prepared(
    select(*_COLUMNS)
    .where(
        grants.c.person == bindparam("person"), grants.c.resource == bindparam("resource"), grants.c.state == "active"
    )
    .order_by(grants.c.end_at.desc())
    .limit(200)
)
_LAST_ENDED = (
    select(*_COLUMNS)
    .where(
        grants.c.person == bindparam("person"), grants.c.resource == bindparam("resource"), grants.c.state == "ended"
    )
    .order_by(grants.c.end_at.desc())
    .limit(1)
)
_ONE = select(*_COLUMNS).where(grants.c.id == bindparam("id"))


def _stored(row: Sequence[Any]) -> StoredGrant:
    return StoredGrant(*tuple(row))


def add(connection: Connection, grant: Grant, statement: str, seal: bytes) -> bool:
    """Insert a grant; return False if its request has one already."""
    try:
        with connection.begin_nested():
            connection.execute(
                insert(grants).values(
                    id=grant.id,
                    request=grant.request.id,
                    person=grant.person,
                    resource=grant.resource,
                    entitlement=grant.entitlement,
                    not_before=grant.not_before,
                    end_at=grant.end,
                    statement=statement,
                    seal=seal,
                    state="active",
                    ended=None,
                    ended_why="",
                    ended_by="",
                    row=1,
                )
            )
    except IntegrityError:
        return False
    return True


def for_use(connection: Connection, person: str, resource: str) -> list[StoredGrant]:
    """Grants of a person on a resource that nobody has ended, the one that ends last first."""
    return [_stored(row) for row in _USE.all(connection, person=person, resource=resource)]


def last_ended(connection: Connection, person: str, resource: str) -> StoredGrant | None:
    """The grant on a resource that a person lost last; to say why not."""
    row = connection.execute(_LAST_ENDED, {"person": person, "resource": resource}).first()
    return _stored(row) if row is not None else None


def find(connection: Connection, id_: str, *, lock: bool = False) -> StoredGrant | None:
    """A grant by id, its row locked until commit when asked."""
    query = _ONE.with_for_update() if lock else _ONE
    row = connection.execute(query, {"id": id_}).first()
    return _stored(row) if row is not None else None


def of_person(
    connection: Connection, person: str, asof: Millis, place: Place | None, limit: int
) -> list[StoredGrant]:
    """A person's grants: those that had not ended at `asof` first, then the one that ends last, the newest first.

    `asof` is when the listing began: what ends between two of its pages changes nobody's place.
    """
    stood = and_(grants.c.end_at > asof, or_(grants.c.ended.is_(None), grants.c.ended > asof))
    by = ((case((stood, 0), else_=1), False), (grants.c.end_at, True), (grants.c.id, True))
    query = ordered(select(*_COLUMNS).where(grants.c.person == person), by, place)
    return [_stored(row) for row in connection.execute(query.limit(limit))]


def rank(row: StoredGrant, asof: Millis) -> Key:
    """Where a row stands in that order."""
    return (0 if row.end > asof and (row.ended is None or row.ended > asof) else 1, row.end, row.id)


def running(connection: Connection, person: str, now: Millis) -> list[StoredGrant]:
    """A person's grants that have not ended."""
    query = select(*_COLUMNS).where(grants.c.person == person, grants.c.state == "active", grants.c.end_at > now)
    return [_stored(row) for row in connection.execute(query)]


def ever(connection: Connection, person: str, entitlement: str, resource: str) -> bool:
    """Whether a person has had a grant of this kind."""
    query = select(grants.c.id).where(
        grants.c.person == person, grants.c.entitlement == entitlement, grants.c.resource == resource
    )
    return connection.execute(query.limit(1)).first() is not None


def ids_since(connection: Connection, person: str, resource: str, since: Millis) -> list[str]:
    """Ids of a person's grants on a resource whose end is not before `since`, ended early or not."""
    query = select(grants.c.id).where(
        grants.c.person == person, grants.c.resource == resource, grants.c.end_at >= since
    )
    return list(connection.execute(query).scalars())


def on_resource(connection: Connection, resource: str, now: Millis) -> list[StoredGrant]:
    """Every grant on a resource that has not ended, complete."""
    query = (
        select(*_COLUMNS)
        .where(grants.c.resource == resource, grants.c.state == "active", grants.c.end_at > now)
        .order_by(grants.c.person, grants.c.id)
    )
    return [_stored(row) for row in connection.execute(query)]


def all_running(connection: Connection, now: Millis, limit: int | None) -> list[StoredGrant]:
    """Every grant that has not ended, soonest end first."""
    query = (
        select(*_COLUMNS)
        .where(grants.c.state == "active", grants.c.end_at > now)
        .order_by(grants.c.end_at)
        .limit(limit)
    )
    return [_stored(row) for row in connection.execute(query)]


def past_end(connection: Connection, now: Millis, limit: int) -> list[StoredGrant]:
    """Grants whose time is over but whose row does not say so yet."""
    query = select(*_COLUMNS).where(grants.c.state == "active", grants.c.end_at <= now).limit(limit)
    return [_stored(row) for row in connection.execute(query)]


def ended_early(connection: Connection, now: Millis, limit: int, after: str) -> list[str]:
    """Ids behind `after`, in their order, of grants whose row says that they were ended before their time."""
    query = select(grants.c.id).where(grants.c.state == "ended", grants.c.end_at > now, grants.c.id > after)
    return list(connection.execute(query.order_by(grants.c.id).limit(limit)).scalars())


def reopen(connection: Connection, id_: str) -> None:
    """Take back an end that nothing but the row tells of."""
    connection.execute(
        update(grants)
        .where(grants.c.id == id_)
        .values(state="active", ended=None, ended_why="", ended_by="", row=grants.c.row + 1)
    )


def mend(connection: Connection, grant: Grant) -> None:
    """Let the columns by which a grant is found say what its sealed statement says."""
    connection.execute(
        update(grants)
        .where(grants.c.id == grant.id)
        .values(
            person=grant.person,
            resource=grant.resource,
            entitlement=grant.entitlement,
            not_before=grant.not_before,
            end_at=grant.end,
        )
    )


def end(connection: Connection, id_: str, now: Millis, why: str, by: str) -> bool:
    """Mark a grant as ended; return whether it was active."""
    done = connection.execute(
        update(grants)
        .where(grants.c.id == id_, grants.c.state == "active")
        .values(state="ended", ended=now, ended_why=why, ended_by=by, row=grants.c.row + 1)
    )
    return done.rowcount == 1
