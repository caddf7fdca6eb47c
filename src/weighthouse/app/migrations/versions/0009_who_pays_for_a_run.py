"""Which models pay for what a run sends and says, and which grants it works under where its order names none."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "egress_payer",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "model", name=op.f("pk_egress_payer")),
        sqlite_strict=True,
    )
    op.create_table(
        "access_binding",
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workload", "resource", name=op.f("pk_access_binding")),
        sqlite_strict=True,
    )
