"""Every row of the outbox has a place in a chain of its own, and the log's head says how far each chain has come."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("log_head", sa.Column("lanes", sa.Text(), nullable=True))
    op.add_column("log_outbox", sa.Column("lane", sa.Text(), nullable=True))
    op.add_column("log_outbox", sa.Column("number", sa.BigInteger(), nullable=True))
    op.add_column("log_outbox", sa.Column("prev", sa.LargeBinary(), nullable=True))
    op.create_index("ix_log_outbox_lane", "log_outbox", ["lane", "number"])
