"""The fact and the type of each dead letter."""

from alembic import op
from sqlalchemy import Column, String

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("events_dead_letter", Column("fact_id", String(40)))
    op.add_column("events_dead_letter", Column("type", String(64)))
    op.create_index("events_dead_letter_by_fact", "events_dead_letter", ["consumer", "fact_id"])
    # Cast to text, because newer versions of SQLite read bytes as their binary JSON.
    op.execute(
        "UPDATE events_dead_letter SET"
        " fact_id = json_extract(CAST(letter AS TEXT), '$.entry.record.fact_id'),"
        " type = json_extract(CAST(letter AS TEXT), '$.entry.record.fact.type')"
    )


def downgrade() -> None:
    op.drop_index("events_dead_letter_by_fact", "events_dead_letter")
    op.drop_column("events_dead_letter", "type")
    op.drop_column("events_dead_letter", "fact_id")
