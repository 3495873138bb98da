"""The leases of consumers, and dead letters."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "events_lease",
        Column("consumer", String(128), primary_key=True),
        Column("holder", String(64), nullable=False),
        Column("until_ms", BigInteger, nullable=False),
    )
    op.create_table(
        "events_dead_letter",
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("consumer", String(128), nullable=False, index=True),
        Column("letter", LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("events_dead_letter")
    op.drop_table("events_lease")
