"""Requests and votes. A request's row is locked before its votes are read, so that two last votes make one grant."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, RowMapping, and_, case, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from weighthouse.access.model import Request, RequestState, Vote
from weighthouse.access.store.tables import requests, votes
from weighthouse.core.clock import Millis
from weighthouse.core.keyset import ordered
from weighthouse.core.paging import Key, Place


class StoredRequest(msgspec.Struct, frozen=True):
    """A request's row: the content as text, its digest and seal as kept, and the state."""

    id: str
    created: Millis
    lapses: Millis
    content: str
    seal: bytes
    digest: str
    state: RequestState
    settled: Millis | None
    settled_why: str
    row: int


_COLUMNS = (
    requests.c.id,
    requests.c.created,
    requests.c.lapses,
    requests.c.content,
    requests.c.seal,
    requests.c.digest,
    requests.c.state,
    requests.c.settled,
    requests.c.settled_why,
    requests.c.row,
)


def _stored(row: RowMapping) -> StoredRequest:
    return StoredRequest(
        id=row["id"],
        created=row["created"],
        lapses=row["lapses"],
        content=row["content"],
        seal=bytes(row["seal"]),
        digest=row["digest"],
        state=row["state"],
        settled=row["settled"],
        settled_why=row["settled_why"],
        row=row["row"],
    )


def rank(row: StoredRequest, asof: Millis) -> Key:
    """Where a row stands among a person's requests."""
    stood = row.lapses > asof and (row.settled is None or row.settled > asof)
    return (0 if stood else 1, row.created, row.id)


def add(connection: Connection, request: Request, content: str, seal: bytes) -> None:
    """Insert a request."""
    connection.execute(
        insert(requests).values(
            id=request.id,
            digest=request.digest,
            person=request.person,
            entitlement=request.entitlement,
            resource=request.resource,
            content=content,
            seal=seal,
            state=request.state,
            created=request.created,
            lapses=request.lapses,
            settled=None,
            settled_why="",
            row=1,
        )
    )


def find(connection: Connection, id_: str, *, lock: bool = False) -> StoredRequest | None:
    """A request by id, its row locked until commit when asked."""
    query = select(*_COLUMNS).where(requests.c.id == id_)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return _stored(row) if row is not None else None


def settle(connection: Connection, id_: str, row: int, state: RequestState, why: str, now: Millis) -> bool:
    """Move a pending request to its end if its row is still version `row`; return whether it was."""
    done = connection.execute(
        update(requests)
        .where(requests.c.id == id_, requests.c.row == row, requests.c.state == "pending")
        .values(state=state, settled=now, settled_why=why, row=row + 1)
    )
    return done.rowcount == 1


def overrule(connection: Connection, id_: str, state: RequestState, why: str, now: Millis) -> None:
    """Write a no over a row that claims another end which nothing else knows of."""
    connection.execute(
        update(requests)
        .where(requests.c.id == id_)
        .values(state=state, settled=now, settled_why=why, row=requests.c.row + 1)
    )


def pending(connection: Connection, now: Millis, limit: int, place: Place | None) -> list[StoredRequest]:
    """Requests that may still be voted on, oldest first, from `place` on by (created, id)."""
    query = select(*_COLUMNS).where(requests.c.state == "pending", requests.c.lapses > now)
    query = ordered(query, ((requests.c.created, False), (requests.c.id, False)), place)
    return [_stored(row) for row in connection.execute(query.limit(limit)).mappings()]


def awaiting(
    connection: Connection, now: Millis, person: str, entitlements: Sequence[str], limit: int, *, voted: bool
) -> list[StoredRequest]:
    """Some open requests of others for these entitlements, on which a vote of `person` stands or does not."""
    mine = exists().where(votes.c.request == requests.c.id, votes.c.voter == person)
    query = select(*_COLUMNS).where(
        requests.c.state == "pending",
        requests.c.lapses > now,
        requests.c.person != person,
        requests.c.entitlement.in_(entitlements),
        mine if voted else ~mine,
    )
    return [_stored(row) for row in connection.execute(query.limit(max(0, limit))).mappings()]


def overdue(connection: Connection, now: Millis, limit: int) -> list[str]:
    """Ids of pending requests whose time to vote is over."""
    query = select(requests.c.id).where(requests.c.state == "pending", requests.c.lapses <= now).limit(limit)
    return list(connection.execute(query).scalars())


def mend_lapses(connection: Connection, id_: str, lapses: Millis) -> None:
    """Put the column by which a request is found back to what its sealed content says."""
    connection.execute(update(requests).where(requests.c.id == id_).values(lapses=lapses))


def of_person(
    connection: Connection, person: str, asof: Millis, place: Place | None, limit: int
) -> list[StoredRequest]:
    """A person's requests: those that were open at `asof`, when the listing began, then the others; newest first."""
    stood = and_(requests.c.lapses > asof, or_(requests.c.settled.is_(None), requests.c.settled > asof))
    by = ((case((stood, 0), else_=1), False), (requests.c.created, True), (requests.c.id, True))
    query = ordered(select(*_COLUMNS).where(requests.c.person == person), by, place)
    return [_stored(row) for row in connection.execute(query.limit(limit)).mappings()]


def all_pending(connection: Connection, now: Millis) -> list[StoredRequest]:
    """Every request that may still be voted on."""
    query = select(*_COLUMNS).where(requests.c.state == "pending", requests.c.lapses > now)
    return [_stored(row) for row in connection.execute(query).mappings()]


def invalidated_since(connection: Connection, since: Millis) -> list[StoredRequest]:
    """Requests that policy has overtaken since a time, newest first."""
    query = (
        select(*_COLUMNS)
        .where(requests.c.state == "invalidated", requests.c.settled >= since)
        .order_by(requests.c.settled.desc(), requests.c.id.desc())
    )
    return [_stored(row) for row in connection.execute(query).mappings()]


def pending_of(connection: Connection, person: str, now: Millis) -> list[StoredRequest]:
    """A person's open requests."""
    query = select(*_COLUMNS).where(
        requests.c.person == person, requests.c.state == "pending", requests.c.lapses > now
    )
    return [_stored(row) for row in connection.execute(query).mappings()]


def settled_early(connection: Connection, now: Millis, limit: int, after: str) -> list[str]:
    """Ids behind `after`, in their order, of requests whose row says that they came to an end before their time."""
    query = select(requests.c.id).where(requests.c.state != "pending", requests.c.lapses > now, requests.c.id > after)
    return list(connection.execute(query.order_by(requests.c.id).limit(limit)).scalars())


def reopen(connection: Connection, id_: str) -> None:
    """Take back an end that nothing but the row tells of."""
    connection.execute(
        update(requests)
        .where(requests.c.id == id_)
        .values(state="pending", settled=None, settled_why="", row=requests.c.row + 1)
    )


def count_refused(connection: Connection, person: str, entitlement: str, since: Millis) -> int:
    """How often a person was denied an entitlement since a time."""
    query = select(func.count()).where(
        requests.c.person == person,
        requests.c.entitlement == entitlement,
        requests.c.state == "denied",
        requests.c.settled >= since,
    )
    return int(connection.execute(query).scalar_one())


def add_vote(connection: Connection, vote: Vote, now: Millis) -> bool:
    """Insert a vote; return False if this person has voted on this request before."""
    try:
        with connection.begin_nested():
            connection.execute(
                insert(votes).values(
                    request=vote.request,
                    voter=vote.voter,
                    body=msgspec.json.encode(vote).decode(),
                    cast_at=now,
                )
            )
    except IntegrityError:
        return False
    return True


def replace_vote(connection: Connection, vote: Vote, now: Millis) -> None:
    """Put a vote in the place of one by the same person that counts no more."""
    connection.execute(
        update(votes)
        .where(votes.c.request == vote.request, votes.c.voter == vote.voter)
        .values(body=msgspec.json.encode(vote).decode(), cast_at=now)
    )


def open_votes_by(connection: Connection, voter: str, now: Millis) -> list[tuple[str, str, str]]:
    """(request, voter, body) of each vote of somebody on a request that may still be voted on."""
    query = (
        select(votes.c.request, votes.c.voter, votes.c.body)
        .join(requests, requests.c.id == votes.c.request)
        .where(votes.c.voter == voter, requests.c.state == "pending", requests.c.lapses > now)
    )
    return [(str(row[0]), str(row[1]), str(row[2])) for row in connection.execute(query)]


def votes_of(connection: Connection, id_: str) -> list[tuple[str, str, str]]:
    """(request, voter, body) of each vote on a request, oldest first."""
    query = (
        select(votes.c.request, votes.c.voter, votes.c.body)
        .where(votes.c.request == id_)
        .order_by(votes.c.cast_at, votes.c.voter)
    )
    return [(str(row[0]), str(row[1]), str(row[2])) for row in connection.execute(query)]
