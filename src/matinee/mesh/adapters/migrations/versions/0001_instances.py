"""Create the table of registered instances."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "mesh_instances",
        sa.Column("instance_id", sa.String(40), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("draining", sa.Boolean, nullable=False),
        sa.Column("instance", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("mesh_instances")
