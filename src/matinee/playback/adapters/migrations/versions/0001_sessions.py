"""Play sessions and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
MEDIUM = (1 << 24) - 1


def upgrade() -> None:
    op.create_table(
        "playback_sessions",
        sa.Column("session_id", sa.String(40), primary_key=True),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("position_ms", sa.BigInteger, nullable=False),
        sa.Column("avoid", sa.LargeBinary(MEDIUM), nullable=False),
        sa.Column("body", sa.LargeBinary(MEDIUM), nullable=False),
    )
    op.create_index("playback_sessions_open", "playback_sessions", ["ended_at", "last_seen_at"])
    op.create_table(
        "playback_outbox",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("record", sa.LargeBinary(MEDIUM), nullable=False),
        sqlite_autoincrement=True,  # a reused number would let a relay delete a fact that another has not sent
    )


def downgrade() -> None:
    op.drop_table("playback_outbox")
    op.drop_table("playback_sessions")
