"""Positions, dismissals and erasures."""

from alembic import op
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String

revision = "0001"
down_revision = None


def profile() -> list[Column[str]]:
    return [
        Column("account_id", String(40), primary_key=True),
        Column("profile_id", String(40), primary_key=True),
    ]


def upgrade() -> None:
    op.create_table(
        "viewing_position",
        *profile(),
        Column("title_id", String(40), primary_key=True),
        Column("episode_id", String(40), primary_key=True),  # empty for a film
        Column("position_ms", BigInteger, nullable=False),
        Column("duration_ms", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("device_id", String(40), nullable=False),
        Index("viewing_position_recent", "account_id", "profile_id", "updated_at", "title_id", "episode_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "viewing_dismissal",
        *profile(),
        Column("title_id", String(40), primary_key=True),
        Column("dismissed_at", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "viewing_erasure",
        *profile(),
        Column("erased_at", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "viewing_outbox",  # unused since facts of positions are those of heartbeats
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("record", LargeBinary, nullable=False),
        sqlite_autoincrement=True,  # a reused number could make one relay delete what another has not sent
    )


def downgrade() -> None:
    op.drop_table("viewing_outbox")
    op.drop_table("viewing_erasure")
    op.drop_table("viewing_dismissal")
    op.drop_table("viewing_position")
