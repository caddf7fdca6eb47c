"""Whose way it is, where it leads, and which refusals of it the log has named."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "egress_refusal",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "mark", name=op.f("pk_egress_refusal")),
        sqlite_strict=True,
    )
    op.add_column("egress_way", sa.Column("person", sa.Text(), server_default="", nullable=False))
    op.add_column("egress_way", sa.Column("leads", sa.Text(), server_default="", nullable=False))
