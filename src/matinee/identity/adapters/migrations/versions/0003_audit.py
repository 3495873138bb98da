"""Add the audit log, the order in which accounts are listed, and for whom a proof was given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "identity_audit",
        sa.Column("entry_id", sa.String(40), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
        sa.Column("act", sa.String(40), nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("detail", sa.String(255), nullable=False),
        sa.Column("actor_id", sa.String(40), index=True),
        sa.Column("account_id", sa.String(40), index=True),
    )
    op.add_column("identity_sign_in", sa.Column("proved_for", sa.String(40)))
    op.create_index("ix_identity_account_created_at", "identity_account", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_identity_account_created_at", "identity_account")
    op.drop_column("identity_sign_in", "proved_for")
    op.drop_table("identity_audit")
