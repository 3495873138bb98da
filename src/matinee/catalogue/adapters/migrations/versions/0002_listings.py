"""The offered titles in the order of lists, by genre, territory and rating."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = "genre_id, territory, maturity, offered_at, title_id, opens_at, closes_at, kind, revision"
# Windows of one title and territory that overlap are one.
FILL = """
INSERT INTO catalogue_listings ({columns})
SELECT {genre}, w.territory, t.maturity, t.offered_at, t.title_id, min(w.opens_at), max(w.closes_at), t.kind, t.revision
FROM catalogue_titles t
JOIN (
  SELECT title_id, territory, opens_at, closes_at, sum(starts) OVER (
    PARTITION BY title_id, territory ORDER BY opens_at, place) AS number
  FROM (
    SELECT title_id, territory, place, opens_at, closes_at, CASE WHEN opens_at <= max(closes_at) OVER (
      PARTITION BY title_id, territory ORDER BY opens_at, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) THEN 0 ELSE 1 END AS starts
    FROM catalogue_rights
  ) marked
) w ON w.title_id = t.title_id
{join}
WHERE t.offered_at IS NOT NULL
GROUP BY {genre}, w.territory, t.maturity, t.offered_at, t.title_id, t.kind, t.revision, w.number
"""


def upgrade() -> None:
    op.create_table(
        "catalogue_listings",
        sa.Column("genre_id", sa.String(64), primary_key=True),
        sa.Column("territory", sa.String(2), primary_key=True),
        sa.Column("maturity", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offered_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("title_id", sa.String(40), primary_key=True),
        sa.Column("opens_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("closes_at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("catalogue_listings_title", "catalogue_listings", ["title_id"])
    op.create_table(
        "catalogue_ratings",
        sa.Column("territory", sa.String(2), primary_key=True),
        sa.Column("maturity", sa.Integer, primary_key=True, autoincrement=False),
    )
    op.execute(FILL.format(columns=COLUMNS, genre="''", join=""))
    genres = "JOIN catalogue_title_genres g ON g.title_id = t.title_id"
    op.execute(FILL.format(columns=COLUMNS, genre="g.genre_id", join=genres))
    op.execute(
        "INSERT INTO catalogue_ratings (territory, maturity)"
        " SELECT DISTINCT territory, maturity FROM catalogue_listings WHERE genre_id = ''"
    )


def downgrade() -> None:
    op.drop_table("catalogue_ratings")
    op.drop_table("catalogue_listings")
