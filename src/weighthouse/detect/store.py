"""Tables and queries of detection. Guards nothing by themselves: what was told is known from the log.

A row keeps two servers from raising one alert twice before its line is in the log, and is locked by whoever
acknowledges it.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Index, Table, Text, UniqueConstraint, delete, insert, select
from sqlalchemy import update as change

from weighthouse.core.database import metadata
from weighthouse.detect.model import Alert

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


def alert_of(conn: Connection, incident: str) -> str | None:
    """Return the id of the alert that a row names for this incident."""
    found = conn.execute(select(alerts.c.id).where(alerts.c.incident == incident)).scalar()
    return None if found is None else str(found)


def remove(conn: Connection, incident: str) -> None:
    """Take a row away that nothing explains."""
    conn.execute(delete(alerts).where(alerts.c.incident == incident))


def unname(conn: Connection, incident: str, alert: str) -> None:
    """Let the row of an older alert make room for one about other facts."""
    conn.execute(change(alerts).where(alerts.c.incident == incident).values(incident=f"{incident} of {alert}"))


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


def lock(conn: Connection, alert_id: str) -> None:
    """Lock the row of an alert where the database locks rows, so that one responder acknowledges it."""
    conn.execute(select(alerts.c.id).where(alerts.c.id == alert_id).with_for_update())
