"""The registry's tables. Rows that matter carry a seal made with keys outside the database (see api/sealing.py)."""

from __future__ import annotations

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata
from weighthouse.core.keyset import ordered
from weighthouse.core.paging import Place
from weighthouse.weights.model import COMMITTED, OPEN, ModelOrder, Save, ShardKey, Version

saves = Table(
    "weights_save",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("begun", BigInteger, nullable=False),
)
keys = Table(
    "weights_key",
    metadata,
    Column("save", Text, primary_key=True),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("shard", Text, nullable=False, unique=True),
    Column("media", Text, nullable=False),
    Column("kek", Text, nullable=False),
    Column("kek_version", BigInteger, nullable=False),
    Column("blob", LargeBinary, nullable=False),
)
versions = Table(
    "weights_version",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False, index=True),
    Column("counter", BigInteger, nullable=False),
    Column("save", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    UniqueConstraint("model", "counter"),
)
heads = Table(
    "weights_head",
    metadata,
    Column("model", Text, primary_key=True),
    Column("counter", BigInteger, nullable=False),
)
leases = Table(
    "weights_lease",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)
reads = Table(
    "weights_read",
    metadata,
    Column("person", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("bytes", BigInteger, nullable=False),
)


orders = Table(
    "weights_model_order",
    metadata,
    Column("model", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)


def add_order(connection: Connection, order: ModelOrder, seal: bytes) -> bool:
    """Keep an order to destroy the key of a model; false when there is one, whoever gave it."""
    made = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    body = msgspec.json.encode(order).decode()
    statement = made(orders).values(model=order.model, body=body, seal=seal)
    statement = statement.on_conflict_do_nothing(index_elements=[orders.c.model])
    return connection.execute(statement.returning(orders.c.model)).first() is not None


def turn_order(connection: Connection, order: ModelOrder, seal: bytes, old: bytes) -> bool:
    """Change an order's state where its seal is still `old`; false when somebody else was first."""
    body = msgspec.json.encode(order).decode()
    query = update(orders).where(orders.c.model == order.model, orders.c.seal == old)
    return connection.execute(query.values(body=body, seal=seal)).rowcount == 1


def find_order(connection: Connection, model: str) -> tuple[str, bytes] | None:
    """Return (body, seal) of the order on a model; nothing of it may be believed before the seal is checked."""
    row = connection.execute(select(orders.c.body, orders.c.seal).where(orders.c.model == model)).first()
    return (str(row.body), bytes(row.seal)) if row else None


def lock_order(connection: Connection, model: str) -> bool:
    """Let nobody else change the order on a model until this transaction is over; false when there is none."""
    query = select(orders.c.model).where(orders.c.model == model)
    return connection.execute(query.with_for_update()).first() is not None


def lock_version(connection: Connection, id_: str) -> None:
    """Let nobody else change a version until this transaction is over."""
    connection.execute(select(versions.c.id).where(versions.c.id == id_).with_for_update()).first()


def drop_order(connection: Connection, model: str) -> None:
    """Forget the order on a model."""
    connection.execute(delete(orders).where(orders.c.model == model))


def add_save(connection: Connection, save: Save, listed: list[ShardKey]) -> None:
    """Keep a new save and its wrapped data keys."""
    body = msgspec.json.encode(save).decode()
    connection.execute(insert(saves).values(id=save.id, body=body, state=OPEN, begun=save.begun))
    connection.execute(insert(keys), [_key_row(save.id, key) for key in listed])


def _key_row(save: str, key: ShardKey) -> dict[str, object]:
    return {
        "save": save,
        "place": key.index,
        "shard": key.shard,
        "media": key.media,
        "kek": key.kek,
        "kek_version": key.kek_version,
        "blob": key.blob,
    }


def find_save(connection: Connection, id_: str) -> tuple[str, str] | None:
    """Return (body, state) of a save; nothing of it may be believed before the certificate inside is checked."""
    row = connection.execute(select(saves.c.body, saves.c.state).where(saves.c.id == id_)).first()
    return (str(row.body), str(row.state)) if row else None


def find_keys(connection: Connection, save: str) -> list[ShardKey]:
    """The wrapped data keys of a save, in order."""
    rows = connection.execute(select(keys).where(keys.c.save == save).order_by(keys.c.place))
    return [
        ShardKey(
            shard=row.shard,
            index=row.place,
            media=row.media,
            kek=row.kek,
            kek_version=row.kek_version,
            blob=bytes(row.blob),
        )
        for row in rows
    ]


def saves_with_keys(connection: Connection, after: str, limit: int) -> list[str]:
    """The saves after `after` that have wrapped data keys, in the order of their ids."""
    query = select(keys.c.save).where(keys.c.save > after).distinct().order_by(keys.c.save).limit(limit)
    return [str(row.save) for row in connection.execute(query)]


def replace_key(connection: Connection, save: str, key: ShardKey, old: bytes) -> bool:
    """Put a rewrapped data key in the place of `old`; false when somebody else was first."""
    query = update(keys).where(keys.c.save == save, keys.c.place == key.index, keys.c.blob == old)
    return connection.execute(query.values(kek_version=key.kek_version, blob=key.blob)).rowcount == 1


def drop_keys(connection: Connection, save: str) -> int:
    """Destroy the wrapped data keys of a save."""
    return connection.execute(delete(keys).where(keys.c.save == save)).rowcount


def drop_keys_under(connection: Connection, kek: str) -> int:
    """Remove the wrapped data keys of a model whose KEK is destroyed: whatever rows say that they are under it."""
    return connection.execute(delete(keys).where(keys.c.kek == kek)).rowcount


def close_save(connection: Connection, id_: str) -> bool:
    """Turn an open save into a committed one; false when it is not open any more (exactly one writer wins)."""
    query = update(saves).where(saves.c.id == id_, saves.c.state == OPEN)
    return connection.execute(query.values(state=COMMITTED)).rowcount == 1


def next_counter(connection: Connection, model: str) -> int:
    """Count one more version of a model, atomically on both databases."""
    made = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = made(heads).values(model=model, counter=1)
    statement = statement.on_conflict_do_update(index_elements=[heads.c.model], set_={"counter": heads.c.counter + 1})
    return int(connection.execute(statement.returning(heads.c.counter)).scalar_one())


def add_version(connection: Connection, version: Version, envelope: bytes, seal: bytes) -> None:
    """Make a version visible."""
    connection.execute(
        insert(versions).values(
            id=version.id,
            model=version.model,
            counter=version.counter,
            save=version.save,
            body=msgspec.json.encode(version).decode(),
            envelope=envelope,
            seal=seal,
        )
    )


def turn_version(connection: Connection, version: Version, seal: bytes, old: bytes) -> bool:
    """Change a version's state where its seal is still `old`; false when somebody else was first."""
    body = msgspec.json.encode(version).decode()
    query = update(versions).where(versions.c.id == version.id, versions.c.seal == old)
    return connection.execute(query.values(body=body, seal=seal)).rowcount == 1


def find_version(connection: Connection, id_: str) -> tuple[str, bytes, bytes] | None:
    """Return (body, envelope, seal) of a version; nothing of it may be believed before the seal is checked."""
    row = connection.execute(
        select(versions.c.body, versions.c.envelope, versions.c.seal).where(versions.c.id == id_)
    ).first()
    return (str(row.body), bytes(row.envelope), bytes(row.seal)) if row else None


def version_of_save(connection: Connection, save: str) -> str | None:
    """The version that a save became."""
    found = connection.execute(select(versions.c.id).where(versions.c.save == save)).scalar()
    return str(found) if found is not None else None


def list_versions(connection: Connection, model: str, place: Place | None, limit: int) -> list[tuple[str, int]]:
    """(id, counter) of a model's versions from `place` on, newest first."""
    query = select(versions.c.id, versions.c.counter).where(versions.c.model == model)
    rows = connection.execute(ordered(query, ((versions.c.counter, True),), place).limit(limit))
    return [(str(row.id), int(row.counter)) for row in rows]


def version_ids(connection: Connection, model: str) -> list[str]:
    """Ids of all versions of a model; nothing of them may be believed yet."""
    return [str(row.id) for row in connection.execute(select(versions.c.id).where(versions.c.model == model))]


def newest(connection: Connection, model: str) -> tuple[str, int] | None:
    """(id, counter) of a model's newest version according to the database."""
    query = select(versions.c.id, versions.c.counter).where(versions.c.model == model)
    row = connection.execute(query.order_by(versions.c.counter.desc()).limit(1)).first()
    return (str(row.id), int(row.counter)) if row else None


def count_versions(connection: Connection) -> dict[str, int]:
    """How many versions each model has."""
    rows = connection.execute(select(versions.c.model, func.count().label("number")).group_by(versions.c.model))
    return {str(row.model): int(row.number) for row in rows}


def add_lease(connection: Connection, id_: str, version: str, principal: str, until: Millis) -> None:
    """Start a reader's lease."""
    connection.execute(insert(leases).values(id=id_, version=version, principal=principal, until=until))


def find_lease(connection: Connection, id_: str) -> tuple[str, str, Millis] | None:
    """(version, principal, until) of a lease, locked until commit."""
    row = connection.execute(select(leases).where(leases.c.id == id_).with_for_update()).first()
    return (str(row.version), str(row.principal), int(row.until)) if row else None


def leased(connection: Connection, principal: str) -> list[str]:
    """The versions that a reader has leases of."""
    query = select(leases.c.version).where(leases.c.principal == principal).distinct()
    return list(connection.execute(query).scalars())


def leased_of(connection: Connection, model: str, now: Millis) -> int:
    """How many leases of versions of a model have not ended."""
    theirs = select(versions.c.id).where(versions.c.model == model)
    query = select(func.count()).select_from(leases).where(leases.c.until > now, leases.c.version.in_(theirs))
    return int(connection.execute(query).scalar_one())


def live_leases(connection: Connection, now: Millis) -> list[str]:
    """The leases that have not ended, soonest end first."""
    return list(
        connection.execute(select(leases.c.id).where(leases.c.until > now).order_by(leases.c.until)).scalars()
    )


def extend_lease(connection: Connection, id_: str, until: Millis) -> None:
    """Move a lease's end."""
    connection.execute(update(leases).where(leases.c.id == id_).values(until=until))


def drop_leases(connection: Connection, before: Millis) -> int:
    """Forget leases that ended before a time."""
    return connection.execute(delete(leases).where(leases.c.until < before)).rowcount


def charge(connection: Connection, person: str, model: str, day: int, size: int) -> int:
    """Add to what a person has opened of a model on a day, atomically, and return the new sum.

    The row is held until commit, so that two loads at once are counted one after the other.
    """
    made = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = made(reads).values(person=person, model=model, day=day, bytes=size)
    statement = statement.on_conflict_do_update(
        index_elements=[reads.c.person, reads.c.model, reads.c.day], set_={"bytes": reads.c.bytes + size}
    )
    return int(connection.execute(statement.returning(reads.c.bytes)).scalar_one())


def correct_charge(connection: Connection, person: str, model: str, day: int, total: int) -> None:
    """Put back the sum that the log proves."""
    query = update(reads).where(reads.c.person == person, reads.c.model == model, reads.c.day == day)
    connection.execute(query.values(bytes=total))


def spent(connection: Connection, person: str, model: str, day: int) -> int:
    """What a person has opened of a model on a day, by the database alone."""
    query = select(reads.c.bytes).where(reads.c.person == person, reads.c.model == model, reads.c.day == day)
    return int(connection.execute(query).scalar() or 0)


def drop_reads(connection: Connection, before: int) -> int:
    """Forget the sums of days before `before`; the log keeps what they were made of."""
    return connection.execute(delete(reads).where(reads.c.day < before)).rowcount


def stale_saves(connection: Connection, before: Millis, limit: int = 100) -> list[str]:
    """Ids of open saves that say they were begun before a time; nothing of them may be believed yet."""
    query = select(saves.c.id).where(saves.c.state == OPEN, saves.c.begun < before).order_by(saves.c.begun)
    return [str(row.id) for row in connection.execute(query.limit(limit))]


def open_saves_of(connection: Connection, *, run: str = "", model: str = "") -> list[str]:
    """Ids of open saves whose rows name a run, or a model; nothing of them may be believed yet."""
    named = f'"run":"{run}"' if run else f'"model":"{model}"'
    query = select(saves.c.id).where(saves.c.state == OPEN, saves.c.body.contains(named, autoescape=True))
    return [str(row.id) for row in connection.execute(query)]


def drop_save(connection: Connection, id_: str) -> bool:
    """Forget an open save and its keys; false when it was committed meanwhile."""
    dropped = connection.execute(delete(saves).where(saves.c.id == id_, saves.c.state == OPEN)).rowcount == 1
    if dropped:
        drop_keys(connection, id_)
    return dropped
