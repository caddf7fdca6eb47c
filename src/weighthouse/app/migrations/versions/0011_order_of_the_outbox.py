"""What waits for the log is read from either end of its order, however many rows somebody puts there."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_log_outbox_xid", "log_outbox", ["xid", "id"])
