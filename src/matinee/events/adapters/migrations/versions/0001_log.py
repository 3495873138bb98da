"""The log of facts, and the cursor of each consumer."""

from alembic import op
from sqlalchemy import Column, Index, Integer, LargeBinary, String

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "events_log",
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("fact_id", String(40), nullable=False, unique=True),
        Column("type", String(64), nullable=False),
        Column("appended_ms", Integer, nullable=False),
        Column("record", LargeBinary, nullable=False),
        Index("events_log_by_type", "type", "seq"),
        Index("events_log_by_time", "appended_ms"),
        sqlite_autoincrement=True,  # numbers are not reused, even after the newest rows are deleted
    )
    op.create_table(
        "events_consumer",
        Column("consumer", String(128), primary_key=True),
        Column("seq", Integer, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("events_consumer")
    op.drop_table("events_log")
