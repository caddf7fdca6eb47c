"""Tables and queries of detection. Guards the server from a flood: what is kept is bounded in time and in size.

Signals are rows keyed by the index of their log entry, so that an entry handled twice changes nothing. Of one account
on one network only the newest few attempts are kept: repeating it cannot push other accounts out of the window.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy import update as change

from weighthouse.core.clock import Millis
from weighthouse.core.database import metadata
from weighthouse.core.keyset import ordered
from weighthouse.core.paging import Place
from weighthouse.detect.model import MOST_ACCOUNTS, MOST_READS, Alert, Attempt, Read

PER_ACCOUNT = 4
PER_NETWORK = PER_ACCOUNT * MOST_ACCOUNTS
PER_PERSON = MOST_READS + 48

attempts = Table(
    "detect_attempt",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("network", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Index("ix_detect_attempt_network_at", "network", "at"),
    Index("ix_detect_attempt_at", "at"),
)

reads = Table(
    "detect_read",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("loads", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Index("ix_detect_read_person_at", "person", "at"),
    Index("ix_detect_read_at", "at"),
)

alerts = Table(
    "detect_alert",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incident", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("last_evidence", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("alert", Text, nullable=False),
    UniqueConstraint("incident"),
    Index("ix_detect_alert_rule_principal", "rule", "principal"),
    Index("ix_detect_alert_at", "at"),
)


def _keep_newest(conn: Connection, table: Table, among: ColumnElement[bool], count: int) -> None:
    old = select(table.c.entry).where(among).order_by(table.c.at.desc(), table.c.entry.desc()).offset(count)
    conn.execute(delete(table).where(table.c.entry.in_(old)))


def _handled(conn: Connection, table: Table, index: int) -> bool:
    return conn.execute(select(table.c.entry).where(table.c.entry == index)).first() is not None


def keep_attempt(conn: Connection, one: Attempt, window: Millis) -> bool:
    """Keep an attempt and forget what no rule can need; return False when its entry was handled before."""
    if _handled(conn, attempts, one.index):
        return False
    conn.execute(
        insert(attempts).values(
            entry=one.index,
            at=one.at,
            network=one.network,
            account=one.account,
            session=one.session,
            principal=one.principal,
        )
    )
    conn.execute(delete(attempts).where(attempts.c.at < one.at - 2 * window))
    here = attempts.c.network == one.network
    _keep_newest(conn, attempts, here & (attempts.c.account == one.account), PER_ACCOUNT)
    _keep_newest(conn, attempts, here, PER_NETWORK)
    return True


def attempts_from(conn: Connection, network: str) -> list[Attempt]:
    """Return the kept attempts from one network."""
    rows = conn.execute(select(attempts).where(attempts.c.network == network).order_by(attempts.c.entry))
    return [
        Attempt(
            index=row["entry"],
            at=row["at"],
            network=row["network"],
            account=row["account"],
            succeeded=bool(row["session"]),
            session=row["session"],
            principal=row["principal"],
        )
        for row in rows.mappings()
    ]


def keep_read(conn: Connection, one: Read, window: Millis) -> bool:
    """Keep a read and forget what no rule can need; return False when its entry was handled before."""
    if _handled(conn, reads, one.index):
        return False
    conn.execute(
        insert(reads).values(entry=one.index, at=one.at, person=one.person, loads=one.loads, bytes=one.bytes)
    )
    conn.execute(delete(reads).where(reads.c.at < one.at - 2 * window))
    _keep_newest(conn, reads, reads.c.person == one.person, PER_PERSON)
    return True


def reads_by(conn: Connection, person: str, after: int) -> list[Read]:
    """Return the kept reads of one person that no earlier alert has answered: those with an index above `after`."""
    query = select(reads).where(reads.c.person == person, reads.c.entry > after).order_by(reads.c.entry)
    return [
        Read(index=row["entry"], at=row["at"], person=row["person"], loads=row["loads"], bytes=row["bytes"])
        for row in conn.execute(query).mappings()
    ]


def last_evidence(conn: Connection, rule: str, principal: str) -> int:
    """Return the highest log index that an alert of this rule about this person rests on, -1 if there is none."""
    query = select(func.max(alerts.c.last_evidence)).where(alerts.c.rule == rule, alerts.c.principal == principal)
    found = conn.execute(query).scalar()
    return -1 if found is None else int(found)


def known(conn: Connection, incident: str) -> bool:
    """Return whether an alert for this incident is on record."""
    return conn.execute(select(alerts.c.id).where(alerts.c.incident == incident)).first() is not None


def add_alert(conn: Connection, incident: str, alert: Alert) -> None:
    """Record an alert; the unique incident key lets a second one fail rather than exist."""
    conn.execute(
        insert(alerts).values(
            id=alert.id,
            incident=incident,
            rule=alert.rule,
            principal=alert.principal,
            last_evidence=max(alert.evidence, default=-1),
            at=alert.at,
            alert=msgspec.json.encode(alert).decode(),
        )
    )


def find_alert(conn: Connection, alert_id: str) -> Alert | None:
    """Return one alert, its row locked where the database locks rows."""
    row = conn.execute(select(alerts.c.alert).where(alerts.c.id == alert_id).with_for_update()).first()
    return msgspec.json.decode(row[0], type=Alert) if row else None


def change_alert(conn: Connection, alert: Alert) -> None:
    """Store an alert that has changed."""
    conn.execute(change(alerts).where(alerts.c.id == alert.id).values(alert=msgspec.json.encode(alert).decode()))


def newest_alerts(conn: Connection, limit: int, place: Place | None) -> list[Alert]:
    """Return alerts, newest first, from `place` on."""
    query = ordered(select(alerts.c.alert), ((alerts.c.at, True), (alerts.c.id, True)), place)
    return [msgspec.json.decode(row[0], type=Alert) for row in conn.execute(query.limit(limit))]
