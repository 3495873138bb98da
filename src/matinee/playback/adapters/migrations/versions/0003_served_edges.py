"""The edges that a session was given."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
MEDIUM = (1 << 24) - 1


def upgrade() -> None:
    op.add_column("playback_sessions", sa.Column("served", sa.LargeBinary(MEDIUM)))


def downgrade() -> None:
    op.drop_column("playback_sessions", "served")
