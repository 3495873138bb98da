"""Create the tables of content keys and revoked sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "licensing_key",
        sa.Column("asset_id", sa.String(40), primary_key=True),
        sa.Column("label", sa.String(8), primary_key=True),
        sa.Column("key_id", sa.String(32), nullable=False, unique=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "licensing_revocation",
        sa.Column("session_id", sa.String(40), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("licensing_revocation")
    op.drop_table("licensing_key")
