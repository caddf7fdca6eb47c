"""The seal over where a follower of the log goes on; a cursor from before has none, and begins anew once."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("log_follower", sa.Column("seal", sa.LargeBinary(), nullable=True))
