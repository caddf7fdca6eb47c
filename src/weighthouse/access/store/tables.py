"""The tables. Guards nothing by themselves: each row that matters carries a seal or signatures that `api` checks.

`row` is a version column; `access_grant.request` is the unique effect key, so that one request gives at most one
grant even if two servers decide at the same instant; a vote is unique for (request, voter).
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Table, Text

from weighthouse.core.database import metadata

requests = Table(
    "access_request",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("entitlement", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("lapses", BigInteger, nullable=False),
    Column("settled", BigInteger),
    Column("settled_why", Text, nullable=False),
    Column("row", BigInteger, nullable=False),
    CheckConstraint(
        "state IN ('pending','approved','denied','withdrawn','lapsed','invalidated')", name="state_known"
    ),
)
Index("ix_access_request_pending", requests.c.state, requests.c.lapses)
Index("ix_access_request_person", requests.c.person, requests.c.created)

votes = Table(
    "access_vote",
    metadata,
    Column("request", Text, ForeignKey("access_request.id"), primary_key=True),
    Column("voter", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("cast_at", BigInteger, nullable=False),
)

grants = Table(
    "access_grant",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request", Text, nullable=False, unique=True),
    Column("person", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("entitlement", Text, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("statement", Text, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended", BigInteger),
    Column("ended_why", Text, nullable=False),
    Column("ended_by", Text, nullable=False),
    Column("row", BigInteger, nullable=False),
    CheckConstraint("state IN ('active','ended')", name="state_known"),
)
Index("ix_access_grant_use", grants.c.person, grants.c.resource, grants.c.state, grants.c.end_at)
Index("ix_access_grant_resource", grants.c.resource, grants.c.state, grants.c.end_at)
Index("ix_access_grant_end", grants.c.state, grants.c.end_at)

bindings = Table(
    "access_binding",
    metadata,
    Column("workload", Text, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("grant_id", Text, nullable=False),
)

holds = Table(
    "access_hold",
    metadata,
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actions", Text, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("lifted", BigInteger),
    Column("lifted_by", Text, nullable=False),
    Column("lifted_why", Text, nullable=False),
)
Index("ix_access_hold_standing", holds.c.lifted, holds.c.subject)

calls = Table(  # named when governance kept them
    "governance_call",
    metadata,
    Column("model", Text, primary_key=True),
    Column("member", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("hold", Text),
    Column("seal", LargeBinary),
)
