"""Find the sign-ins of a device, and the devices that were not seen for long, without reading all of them."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("identity_sign_in_by_device", "identity_sign_in", ["account_id", "device_id"])
    op.drop_index("ix_identity_sign_in_account_id", "identity_sign_in")
    op.create_index("ix_identity_device_last_seen_at", "identity_device", ["last_seen_at"])


def downgrade() -> None:
    op.drop_index("ix_identity_device_last_seen_at", "identity_device")
    op.create_index("ix_identity_sign_in_account_id", "identity_sign_in", ["account_id"])
    op.drop_index("identity_sign_in_by_device", "identity_sign_in")
