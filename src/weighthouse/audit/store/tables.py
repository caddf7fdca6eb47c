"""The tables of the log. Nothing in them is believed before it is checked against a signed head."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, Table, Text

from weighthouse.core.database import metadata

entries = Table(
    "log_entry",
    metadata,
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Index("ix_log_entry_kind_idx", "kind", "idx"),
    Index("ix_log_entry_subject_idx", "subject", "idx"),
)

tiles = Table(
    "log_tile",
    metadata,
    Column("level", BigInteger, primary_key=True, autoincrement=False),
    Column("idx", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

# One row. `floor` is the transaction number below which every outbox row has been sequenced, `epoch` changes when a
# fork is accepted, `lanes` says how far each chain of waiting rows has been sequenced; `seal` is a code over them, so
# that no writer of rows can have an old row sequenced again, or one forgotten.
head = Table(
    "log_head",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("lanes", Text),
)

cosigned = Table(
    "log_cosigned",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

followers = Table(
    "log_follower",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("seal", LargeBinary),
)

servers = Table(
    "log_server",
    metadata,
    Column("name", Text, primary_key=True),
    Column("said", LargeBinary, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)

personal = Table(
    "log_personal",
    metadata,
    Column("commitment", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("clear", Text, nullable=False),
    Index("ix_log_personal_owner", "owner"),
)

outbox = Table(
    "log_outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("xid", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("lane", Text),
    Column("number", BigInteger),
    Column("prev", LargeBinary),
    Index("ix_log_outbox_lane", "lane", "number"),
    Index("ix_log_outbox_xid", "xid", "id"),
)
