"""Create the table of popularity."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "search_popularity",
        sa.Column("title_id", sa.String(40), primary_key=True),
        sa.Column("plays", sa.Double, nullable=False),
        sa.Column("counted_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("search_popularity")
