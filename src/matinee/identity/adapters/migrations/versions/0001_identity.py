"""Create the tables of accounts, profiles, devices, sign-ins, failed attempts and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "identity_account",
        sa.Column("account_id", sa.String(40), primary_key=True),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("roles", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "identity_profile",
        sa.Column("profile_id", sa.String(40), primary_key=True),
        sa.Column("account_id", sa.String(40), nullable=False, index=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("name", sa.String(160), nullable=False),
        sa.Column("avatar", sa.String(64), nullable=False),
        sa.Column("language", sa.String(40), nullable=False),
        sa.Column("maturity", sa.Integer, nullable=False),
        sa.Column("kids", sa.Boolean, nullable=False),
        sa.Column("pin_hash", sa.String(255)),
    )
    op.create_table(
        "identity_device",
        sa.Column("account_id", sa.String(40), primary_key=True),
        sa.Column("device_id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(160), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "identity_sign_in",
        sa.Column("sign_in_id", sa.String(40), primary_key=True),
        sa.Column("account_id", sa.String(40), nullable=False, index=True),
        sa.Column("device_id", sa.String(40), nullable=False),
        sa.Column("handle", sa.LargeBinary, nullable=False),
        sa.Column("live", sa.LargeBinary, nullable=False),
        sa.Column("spent", sa.LargeBinary, nullable=False),
        sa.Column("turned_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("profile_id", sa.String(40)),
    )
    op.create_table(
        "identity_tries",
        sa.Column("subject", sa.String(128), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "identity_outbox",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,  # a reused number would let a relay delete a fact that another has not sent
    )


def downgrade() -> None:
    op.drop_table("identity_outbox")
    op.drop_table("identity_tries")
    op.drop_table("identity_sign_in")
    op.drop_table("identity_device")
    op.drop_table("identity_profile")
    op.drop_table("identity_account")
