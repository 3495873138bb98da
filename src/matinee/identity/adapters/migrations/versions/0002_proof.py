"""Add the time of the last proof that an adult is present to sign-ins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("identity_sign_in", sa.Column("proved_at", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("identity_sign_in", "proved_at")
