"""Jobs and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
MEDIUM = (1 << 24) - 1


def upgrade() -> None:
    op.create_table(
        "encoding_jobs",
        sa.Column("job_id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("film_key", sa.String(64), nullable=False),
        sa.Column("active_key", sa.String(64), unique=True),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("available_at", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("cancel_asked", sa.Boolean, nullable=False),
        sa.Column("body", sa.LargeBinary(MEDIUM), nullable=False),
    )
    op.create_index("encoding_jobs_state", "encoding_jobs", ["state", "priority", "job_id"])
    op.create_table(
        "encoding_outbox",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,  # a reused number would let a relay delete a fact that another has not sent
    )


def downgrade() -> None:
    op.drop_table("encoding_outbox")
    op.drop_table("encoding_jobs")
