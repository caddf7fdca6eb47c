"""Enrolled devices with their certificates, and the identities of runs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, delete, insert, select, update

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata

devices = Table(
    "identity_device",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person", Text, nullable=False, index=True),
    Column("thumbprint", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("ended", BigInteger),
)

workloads = Table(
    "identity_workload",
    metadata,
    Column("secret", Text, primary_key=True),
    Column("run", Text, nullable=False, unique=True),
    Column("until", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)


def insert_device(
    connection: Connection, *, device: str, person: str, thumbprint: str, body: str, certificate: bytes
) -> None:
    connection.execute(
        insert(devices).values(id=device, person=person, thumbprint=thumbprint, body=body, certificate=certificate)
    )


def read_device(connection: Connection, device: str) -> tuple[str, bytes, Millis | None] | None:
    """Return (body, certificate, ended) of a device."""
    row = connection.execute(
        select(devices.c.body, devices.c.certificate, devices.c.ended).where(devices.c.id == device)
    ).first()
    return (str(row[0]), bytes(row[1]), row[2]) if row else None


def device_of_key(connection: Connection, thumbprint: str) -> tuple[str, str] | None:
    """Return (device, person) of an enrolled key."""
    row = connection.execute(select(devices.c.id, devices.c.person).where(devices.c.thumbprint == thumbprint)).first()
    return (str(row[0]), str(row[1])) if row else None


def devices_of(connection: Connection, person: str) -> list[str]:
    query = select(devices.c.id).where(devices.c.person == person).order_by(devices.c.id)
    return [str(row[0]) for row in connection.execute(query)]


def end_device(connection: Connection, device: str, at: Millis) -> None:
    connection.execute(update(devices).where(devices.c.id == device).values(ended=at))


def write_workload(connection: Connection, *, secret: str, run: str, until: Millis, body: str, seal: bytes) -> None:
    """Insert the identity of a run, or replace its row (renewal)."""
    values = {"secret": secret, "until": until, "body": body, "seal": seal}
    if not connection.execute(update(workloads).where(workloads.c.run == run).values(**values)).rowcount:
        connection.execute(insert(workloads).values(run=run, **values))


def workload_by_secret(connection: Connection, secret: str) -> tuple[str, bytes] | None:
    row = connection.execute(select(workloads.c.body, workloads.c.seal).where(workloads.c.secret == secret)).first()
    return (str(row[0]), bytes(row[1])) if row else None


def workload_by_run(connection: Connection, run: str) -> tuple[str, bytes] | None:
    row = connection.execute(select(workloads.c.body, workloads.c.seal).where(workloads.c.run == run)).first()
    return (str(row[0]), bytes(row[1])) if row else None


def end_workload(connection: Connection, run: str) -> bool:
    return connection.execute(delete(workloads).where(workloads.c.run == run)).rowcount == 1
