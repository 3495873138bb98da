"""Find the open sessions of an account."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("playback_sessions", sa.Column("account_id", sa.String(40)))
    op.create_index("playback_sessions_account", "playback_sessions", ["account_id", "ended_at"])


def downgrade() -> None:
    op.drop_index("playback_sessions_account", "playback_sessions")
    op.drop_column("playback_sessions", "account_id")
