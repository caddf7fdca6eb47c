"""The loss curve of a run; how often a way was used, and since when its output is kept no longer."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs_point",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("progress", sa.BigInteger(), nullable=False),
        sa.Column("loss_micro", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_runs_point")),
        sqlite_strict=True,
    )
    op.add_column("egress_way", sa.Column("connected", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("egress_way", sa.Column("muted_at", sa.BigInteger(), nullable=True))
