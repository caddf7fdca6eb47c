"""The code over a member's call for a hold; calls of before count as the log tells of them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("governance_call", sa.Column("seal", sa.LargeBinary(), nullable=True))
