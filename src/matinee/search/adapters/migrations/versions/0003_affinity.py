"""Create the table of affinities."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "search_affinity",
        sa.Column("profile_id", sa.String(40), primary_key=True),
        sa.Column("genres", sa.String(2000), nullable=False),
        sa.Column("counted_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("search_affinity")
