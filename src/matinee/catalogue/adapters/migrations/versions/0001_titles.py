"""Titles, their genres and rights, assets, and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
MEDIUM = (1 << 24) - 1


def upgrade() -> None:
    op.create_table(
        "catalogue_titles",
        sa.Column("title_id", sa.String(40), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("maturity", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("offered_at", sa.BigInteger),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary(MEDIUM), nullable=False),
    )
    op.create_index("catalogue_titles_offered", "catalogue_titles", ["offered_at", "title_id"])
    op.create_index("catalogue_titles_created", "catalogue_titles", ["created_at", "title_id"])
    op.create_index("catalogue_titles_revision", "catalogue_titles", ["revision"])
    op.create_table(
        "catalogue_title_genres",
        sa.Column("genre_id", sa.String(64), primary_key=True),
        sa.Column("title_id", sa.String(40), primary_key=True),
        sa.Column("offered_at", sa.BigInteger),
    )
    op.create_index("catalogue_title_genres_title", "catalogue_title_genres", ["title_id"])
    op.create_index("catalogue_title_genres_offered", "catalogue_title_genres", ["genre_id", "offered_at", "title_id"])
    op.create_table(
        "catalogue_genres",
        sa.Column("genre_id", sa.String(64), primary_key=True),
        sa.Column("names", sa.LargeBinary(MEDIUM), nullable=False),
    )
    op.create_table(
        "catalogue_rights",
        sa.Column("title_id", sa.String(40), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("territory", sa.String(2), nullable=False),
        sa.Column("opens_at", sa.BigInteger, nullable=False),
        sa.Column("closes_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "catalogue_assets",
        sa.Column("asset_id", sa.String(40), primary_key=True),
        sa.Column("title_id", sa.String(40), nullable=False),
        sa.Column("body", sa.LargeBinary(MEDIUM), nullable=False),
    )
    op.create_table(
        "catalogue_revision",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "catalogue_outbox",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("record", sa.LargeBinary(MEDIUM), nullable=False),
        sqlite_autoincrement=True,  # a number used again would let one relay drop what another has not sent
    )
    op.execute("INSERT INTO catalogue_revision (id, revision) VALUES (1, 0)")


def downgrade() -> None:
    op.drop_table("catalogue_outbox")
    op.drop_table("catalogue_revision")
    op.drop_table("catalogue_assets")
    op.drop_table("catalogue_rights")
    op.drop_table("catalogue_genres")
    op.drop_table("catalogue_title_genres")
    op.drop_table("catalogue_titles")
