"""Detections read their signals from the log: no row says what was handled."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("detect_attempt")
    op.drop_table("detect_read")
