"""Titles in SQL (SQLite, MariaDB).

What lists filter and sort by has columns and tables of its own; the rest of a title is one encoded value. One counter
numbers all changes. Its row stays locked until the transaction ends, so revisions become visible in order: a reader
that has seen revision 43 cannot miss revision 42.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, Self

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.types import BigInteger

from matinee.catalogue.api import Asset, Genre, Localised, Title, TitleNotFound
from matinee.catalogue.model.rules import get_asset_ids, merge_windows
from matinee.catalogue.ports import Change, Changes, ListEntry, Rule, StoredTitle, TitleFilter
from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table
from matinee.kit.clock import from_ms
from matinee.kit.ids import AssetId, TitleId

CHANGES_LIMIT = 1_000
ANY_GENRE, EVERYWHERE = "", "*"
FEW_TITLES = 8
_ALWAYS, _NEVER = from_ms(0), from_ms(253_402_300_799_999)
_MEDIUM = (1 << 24) - 1

_metadata = MetaData()
_titles = Table(
    "catalogue_titles",
    _metadata,
    Column("title_id", String(40), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("maturity", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("offered_at", UtcTime),  # null unless the title is published and playable
    Column("revision", BigInteger, nullable=False),
    Column("body", JsonBytes(Title, _MEDIUM), nullable=False),
)
_title_genres = Table(
    "catalogue_title_genres",
    _metadata,
    Column("genre_id", String(64), primary_key=True),
    Column("title_id", String(40), primary_key=True),
    Column("offered_at", UtcTime),
)
_genres = Table(
    "catalogue_genres",
    _metadata,
    Column("genre_id", String(64), primary_key=True),
    Column("names", JsonBytes(Localised, _MEDIUM), nullable=False),
)
_rights = Table(
    "catalogue_rights",
    _metadata,
    Column("title_id", String(40), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("territory", String(2), nullable=False),
    Column("opens_at", UtcTime, nullable=False),
    Column("closes_at", UtcTime, nullable=False),
)
# Every offered title once for each of its genres and for `ANY_GENRE`, and for each window of its rights, in the order
# of lists: a page is a range of the primary key, however many titles there are.
_listings = Table(
    "catalogue_listings",
    _metadata,
    Column("genre_id", String(64), primary_key=True),
    Column("territory", String(2), primary_key=True),
    Column("maturity", Integer, primary_key=True, autoincrement=False),
    Column("offered_at", UtcTime, primary_key=True),
    Column("title_id", String(40), primary_key=True),
    Column("opens_at", UtcTime, primary_key=True),
    Column("closes_at", UtcTime, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("revision", BigInteger, nullable=False),
)
_ratings = Table(  # which ages titles have, or had, in which territories
    "catalogue_ratings",
    _metadata,
    Column("territory", String(2), primary_key=True),
    Column("maturity", Integer, primary_key=True, autoincrement=False),
)
_assets = Table(
    "catalogue_assets",
    _metadata,
    Column("asset_id", String(40), primary_key=True),
    Column("title_id", String(40), nullable=False),
    Column("body", JsonBytes(Asset, _MEDIUM), nullable=False),
)
_revision = Table(
    "catalogue_revision",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
_outbox = define_outbox_table(_metadata, "catalogue")

_l = _listings.c

_newest_revision = select(_revision.c.revision)
_increment_revision = update(_revision).values(revision=_revision.c.revision + 1)
_titles_by_id = select(_titles.c.body, _titles.c.revision).where(
    _titles.c.title_id.in_(bindparam("title_ids", expanding=True))
)
_assets_by_id = select(_assets.c.body).where(_assets.c.asset_id.in_(bindparam("asset_ids", expanding=True)))
_current = select(_titles.c.body).where(_titles.c.title_id == bindparam("id")).with_for_update()
_changed = (
    select(_titles.c.title_id)
    .where(_titles.c.revision > bindparam("since"))
    .order_by(_titles.c.revision)
    .limit(CHANGES_LIMIT + 1)
)
_ratings_up_to = (
    select(_ratings.c.territory, _ratings.c.maturity)
    .where(_ratings.c.maturity <= bindparam("maturity"), _ratings.c.territory.in_((EVERYWHERE, bindparam("territory"))))
    .order_by(_ratings.c.territory, _ratings.c.maturity)
)
_rating = select(_ratings).where(
    _ratings.c.territory == bindparam("territory"), _ratings.c.maturity == bindparam("maturity")
)
_popular_genres = (
    select(_genres.c.genre_id, _genres.c.names)
    .join(_title_genres, _title_genres.c.genre_id == _genres.c.genre_id)
    .where(_title_genres.c.offered_at.is_not(None))
    .group_by(_genres.c.genre_id, _genres.c.names)
    .order_by(func.count().desc(), _genres.c.genre_id)
)


class SqlTitleStore:
    """Stores titles and assets; `outbox` holds the facts to relay."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = SqlOutbox(database, _outbox)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Open the store and migrate its tables."""
        await database.migrate("matinee.catalogue.adapters:migrations", "catalogue")
        return cls(database)

    async def change(self, title_id: TitleId, rule: Rule, now: datetime) -> Title:
        title = await self._database.write(partial(self._change, title_id, rule, now))
        self.outbox.notify()
        return title

    async def load(self, title_ids: list[TitleId]) -> list[StoredTitle]:
        few = len(title_ids) <= FEW_TITLES
        return await (self._database.read_autocommit if few else self._database.read)(partial(_load, title_ids))

    async def asset(self, asset_id: AssetId) -> Asset | None:
        found = await self._database.read_autocommit(partial(_load_assets, [asset_id]))
        return found[0] if found else None

    async def browse(self, wanted: TitleFilter, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        return await self._database.read(partial(_browse, wanted, after, limit))

    async def everything(self, after: tuple[datetime, TitleId] | None, limit: int) -> list[ListEntry]:
        statement = _build_list_all(after is not None)
        return await self._database.read(partial(_read_list, statement, {}, after, limit))

    async def genres(self) -> list[Genre]:
        rows = await self._database.read(lambda connection: connection.execute(_popular_genres).all())
        return [Genre(genre_id=genre_id, names=names) for genre_id, names in rows]

    async def list_changes(self, since: int) -> Changes:
        return await self._database.read_autocommit(partial(_read_changes, since))

    def _change(self, title_id: TitleId, rule: Rule, now: datetime, connection: Connection) -> Title:
        # Increment first: the locked counter serialises changes of a title and the order of revisions.
        connection.execute(_increment_revision)
        current = connection.execute(_current, {"id": title_id}).scalar()
        change = rule(current, _load_assets(list(get_asset_ids(current)), connection) if current else [])
        if change is not None:
            _store(change, current, now, connection)
            self.outbox.put(connection, change.records)
            return change.title
        if current is None:
            raise TitleNotFound(title_id=title_id)
        return current  # type: ignore[no-any-return]  # the column holds titles


def _load(title_ids: list[TitleId], connection: Connection) -> list[StoredTitle]:
    as_of = connection.execute(_newest_revision).scalar_one()
    rows = connection.execute(_titles_by_id, {"title_ids": title_ids})
    return [StoredTitle(title=title, revision=revision, as_of=as_of) for title, revision in rows]


def _load_assets(asset_ids: Sequence[AssetId], connection: Connection) -> list[Asset]:
    return list(connection.execute(_assets_by_id, {"asset_ids": asset_ids}).scalars()) if asset_ids else []


def _read_changes(since: int, connection: Connection) -> Changes:
    newest = connection.execute(_newest_revision).scalar_one()
    title_ids = list(connection.execute(_changed, {"since": since}).scalars()) if newest > since else []
    if len(title_ids) > CHANGES_LIMIT:
        return Changes(title_ids=[], revision=newest, truncated=True)
    return Changes(title_ids=title_ids, revision=newest)


def _store(change: Change, current: Title | None, now: datetime, connection: Connection) -> None:
    title = change.title
    offered_at = title.published_at if title.state == "published" and get_asset_ids(title) else None
    revision = connection.execute(_newest_revision).scalar_one()
    row = {
        "kind": title.kind,
        "maturity": title.maturity,
        "offered_at": offered_at,
        "revision": revision,
        "body": title,
    }
    if current is None:
        connection.execute(insert(_titles), {"title_id": title.title_id, "created_at": now, **row})
    else:
        connection.execute(update(_titles).where(_titles.c.title_id == title.title_id), row)
    _store_genres(title, offered_at, connection)
    _store_rights(title, connection)
    _store_listings(title, offered_at, revision, connection)
    if (asset := change.asset) is not None:
        connection.execute(delete(_assets).where(_assets.c.asset_id == asset.asset_id))
        connection.execute(insert(_assets), {"asset_id": asset.asset_id, "title_id": title.title_id, "body": asset})


def _store_genres(title: Title, offered_at: datetime | None, connection: Connection) -> None:
    connection.execute(delete(_title_genres).where(_title_genres.c.title_id == title.title_id))
    if not title.genres:
        return
    genre_ids = [genre.genre_id for genre in title.genres]
    connection.execute(delete(_genres).where(_genres.c.genre_id.in_(genre_ids)))
    connection.execute(insert(_genres), [{"genre_id": g.genre_id, "names": g.names} for g in title.genres])
    rows = [{"genre_id": id_, "title_id": title.title_id, "offered_at": offered_at} for id_ in genre_ids]
    connection.execute(insert(_title_genres), rows)


def _store_rights(title: Title, connection: Connection) -> None:
    connection.execute(delete(_rights).where(_rights.c.title_id == title.title_id))
    rows = [
        {
            "title_id": title.title_id,
            "place": place,
            "territory": window.territory,
            "opens_at": window.opens_at or _ALWAYS,
            "closes_at": window.closes_at or _NEVER,
        }
        for place, window in enumerate(title.rights)
    ]
    if rows:
        connection.execute(insert(_rights), rows)


def _browse(
    wanted: TitleFilter, after: tuple[datetime, TitleId] | None, limit: int, connection: Connection
) -> list[ListEntry]:
    """Merge the listings of each rating that the filter allows: each is read only as far as the page goes."""
    ratings = connection.execute(_ratings_up_to, {"maturity": wanted.maturity, "territory": wanted.territory}).all()
    if not ratings:
        return []
    everywhere = sum(territory == EVERYWHERE for territory, _ in ratings)
    by_kind, is_after = wanted.kind is not None, after is not None
    statement = _build_browse(everywhere, len(ratings) - everywhere, by_kind, is_after)
    values = {
        "genre_id": wanted.genre_id or ANY_GENRE,
        "territory": wanted.territory,
        "now": wanted.now,
        "kind": wanted.kind,
        **{f"rating_{number}": rating for number, (_, rating) in enumerate(ratings)},
    }
    return _read_list(statement, values, after, limit, connection)


def _read_list(
    statement: Any,
    values: dict[str, Any],
    after: tuple[datetime, TitleId] | None,
    limit: int,
    connection: Connection,
) -> list[ListEntry]:
    if after is not None:
        values |= {"after_at": after[0], "after_id": after[1]}
    rows = connection.execute(statement, values | {"limit": limit})
    return [ListEntry(title_id=title_id, revision=revision, at=at) for title_id, revision, at in rows]


def _store_listings(title: Title, offered_at: datetime | None, revision: int, connection: Connection) -> None:
    connection.execute(delete(_listings).where(_l.title_id == title.title_id))
    if offered_at is None or not title.rights:
        return
    common = {
        "maturity": title.maturity,
        "offered_at": offered_at,
        "title_id": title.title_id,
        "kind": title.kind,
        "revision": revision,
    }
    rows = [
        {"genre_id": genre_id, "territory": territory, "opens_at": opens_at, "closes_at": closes_at, **common}
        for genre_id in (ANY_GENRE, *(genre.genre_id for genre in title.genres))
        for territory, opens_at, closes_at in merge_windows(title.rights, _ALWAYS, _NEVER)
    ]
    connection.execute(insert(_listings), rows)
    for territory in {window.territory for window in title.rights}:
        key = {"territory": territory, "maturity": title.maturity}
        if connection.execute(_rating, key).first() is None:
            connection.execute(insert(_ratings), key)


# Building a statement costs more than executing it, so each variant is built once.
@cache
def _build_browse(everywhere: int, own: int, by_kind: bool, after: bool) -> Select[Any]:
    """Build the union of so many ratings everywhere, then so many of the territory's own windows."""
    parts = [
        _build_range(f"rating_{number}", own if number < everywhere else None, by_kind, after)
        for number in range(everywhere + own)
    ]
    if len(parts) == 1:
        return parts[0]
    found = union_all(*(select(part.subquery()) for part in parts)).subquery()
    newest_first = (found.c.offered_at.desc(), found.c.title_id.desc())
    return select(found).order_by(*newest_first).limit(bindparam("limit"))


def _build_range(rating: str, own_ratings: int | None, by_kind: bool, after: bool) -> Select[Any]:
    """Select from the listing of a genre and a rating: the territory's own, or everywhere what has no own window.

    `own_ratings` is how many ratings the territory has of its own, None for the listing of these.
    """
    own = _listings.alias("own")
    has_own = exists().where(
        own.c.genre_id == _l.genre_id,
        own.c.territory == bindparam("territory"),
        own.c.maturity == _l.maturity,
        own.c.offered_at == _l.offered_at,
        own.c.title_id == _l.title_id,
    )
    statement = select(_l.title_id, _l.revision, _l.offered_at).where(
        _l.genre_id == bindparam("genre_id"),
        _l.maturity == bindparam(rating),
        _l.opens_at <= bindparam("now"),
        _l.closes_at > bindparam("now"),
        _l.territory == (bindparam("territory") if own_ratings is None else EVERYWHERE),
    )
    if own_ratings:
        statement = statement.where(~has_own)
    if by_kind:
        statement = statement.where(_l.kind == bindparam("kind"))
    return _order_newest_first(statement, _l.offered_at, _l.title_id, after)


@cache
def _build_list_all(after: bool) -> Select[Any]:
    statement = select(_titles.c.title_id, _titles.c.revision, _titles.c.created_at)
    return _order_newest_first(statement, _titles.c.created_at, _titles.c.title_id, after)


def _order_newest_first(
    statement: Select[Any], at: ColumnElement[Any], title_id: ColumnElement[Any], after: bool
) -> Select[Any]:
    if after:
        later = or_(at < bindparam("after_at"), title_id < bindparam("after_id"))
        statement = statement.where(at <= bindparam("after_at"), later)
    return statement.order_by(at.desc(), title_id.desc()).limit(bindparam("limit"))
