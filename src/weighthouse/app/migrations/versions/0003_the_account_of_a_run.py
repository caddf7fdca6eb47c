"""The account that submitted a run. Rows from before have none: they count as the one adopted at the upgrade."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs_run", sa.Column("account", sa.Text(), server_default="", nullable=False))
