"""Create the tables of schedules and their runs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "mesh_schedules",
        sa.Column("schedule", sa.String(100), primary_key=True),
        sa.Column("expression", sa.String(100), nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("requested", sa.Boolean, nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
    )
    op.create_table(
        "mesh_schedule_runs",
        sa.Column("schedule", sa.String(100), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instance_id", sa.String(40), nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("error", sa.String(500), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("mesh_schedule_runs")
    op.drop_table("mesh_schedules")
