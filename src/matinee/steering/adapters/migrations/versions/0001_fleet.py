"""Create the table of edges."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "steering_edge",
        sa.Column("edge_id", sa.String(64), primary_key=True),
        sa.Column("report", sa.LargeBinary, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("draining", sa.Boolean, nullable=False),
    )
    op.create_index("ix_steering_edge_last_seen_at", "steering_edge", ["last_seen_at"])


def downgrade() -> None:
    op.drop_table("steering_edge")
