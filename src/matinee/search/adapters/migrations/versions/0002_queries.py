"""Create the tables of queries and of the titles that are opened from searches."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "search_query",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("folded", sa.String(200), primary_key=True),
        sa.Column("query", sa.String(200), nullable=False),
        sa.Column("searches", sa.Integer, nullable=False),
        sa.Column("unanswered", sa.Integer, nullable=False),
        sa.Column("abandoned", sa.Integer, nullable=False),
        sa.Column("corrected", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_opened",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("title_id", sa.String(40), primary_key=True),
        sa.Column("openings", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("search_opened")
    op.drop_table("search_query")
