"""Create the table of the rules of the editors."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "search_rule",
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("folded", sa.String(200), primary_key=True),
        sa.Column("rule", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("search_rule")
