"""Positions in SQL.

A position is stored by one conditional UPDATE whose WHERE clause decides which of two positions has precedence, so
that the order of arrival has no effect. Only the first position in a film or episode is an INSERT.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Self

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    Row,
    Select,
    String,
    Table,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from matinee.drivers.sql import Database, UtcTime
from matinee.kit.clock import CLOCK_SKEW
from matinee.kit.ids import AccountId, EpisodeId, ProfileId, TitleId
from matinee.viewing.api import Position
from matinee.viewing.model import HistoryKey

# Positions come from heartbeats, for which no viewer waits: several share a commit.
_GATHER_S = 0.5
_metadata = MetaData()
_positions = Table(
    "viewing_position",
    _metadata,
    Column("account_id", String(40), primary_key=True),
    Column("profile_id", String(40), primary_key=True),
    Column("title_id", String(40), primary_key=True),
    Column("episode_id", String(40), primary_key=True),
    Column("position_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("device_id", String(40), nullable=False),
)
_dismissals = Table(
    "viewing_dismissal",
    _metadata,
    Column("account_id", String(40), primary_key=True),
    Column("profile_id", String(40), primary_key=True),
    Column("title_id", String(40), primary_key=True),
    Column("dismissed_at", UtcTime, nullable=False),
)
_erasures = Table(
    "viewing_erasure",
    _metadata,
    Column("account_id", String(40), primary_key=True),
    Column("profile_id", String(40), primary_key=True),
    Column("erased_at", UtcTime, nullable=False),
)
_p, _d, _e = _positions.c, _dismissals.c, _erasures.c


def _match_profile(table: Table) -> list[Any]:
    return [table.c.account_id == bindparam("b_account_id"), table.c.profile_id == bindparam("b_profile_id")]


_match_episode = [
    *_match_profile(_positions),
    _p.title_id == bindparam("b_title_id"),
    _p.episode_id == bindparam("b_episode_id"),
]
_newest_first = [_p.updated_at.desc(), _p.title_id.desc(), _p.episode_id.desc()]
_values = ("position_ms", "duration_ms", "updated_at", "device_id")
_latest = bindparam("b_latest", type_=UtcTime)  # later times are from clocks that were ahead

# In the order of `model.precedence`.
_UPDATE = (
    update(_positions)
    .where(
        *_match_episode,
        or_(
            tuple_(_p.updated_at, _p.device_id, _p.position_ms, _p.duration_ms)
            < tuple_(
                bindparam("b_updated_at", type_=UtcTime),
                bindparam("b_device_id"),
                bindparam("b_position_ms"),
                bindparam("b_duration_ms"),
            ),
            _p.updated_at > _latest,
        ),
    )
    .values({name: bindparam(f"b_{name}") for name in _values})
)
_SELECT_EPISODE = select(_positions).where(*_match_episode)
_SELECT_LOCKED = _SELECT_EPISODE.with_for_update()  # reads the newest row even in a snapshot transaction
_SELECT_TITLES = (
    select(_positions)
    .where(*_match_profile(_positions), _p.title_id.in_(bindparam("b_title_ids", expanding=True)))
    .order_by(*_newest_first)
)
# Without IN, whose statement is rendered at every call: press play uses this query.
_SELECT_TITLE = (
    select(_positions)
    .where(*_match_profile(_positions), _p.title_id == bindparam("b_title_id"))
    .order_by(*_newest_first)
)
_SELECT_RECENT = (
    select(_positions).where(*_match_profile(_positions)).order_by(*_newest_first).limit(bindparam("b_limit"))
)
_AFTER_KEY = tuple_(_p.updated_at, _p.title_id, _p.episode_id) < tuple_(
    bindparam("b_updated_at", type_=UtcTime), bindparam("b_title_id"), bindparam("b_episode_id")
)
_NOT_DISMISSED = ~exists().where(
    _d.account_id == _p.account_id,
    _d.profile_id == _p.profile_id,
    _d.title_id == _p.title_id,
    _d.dismissed_at >= _p.updated_at,
    _d.dismissed_at <= _latest,
)
# By whether a key is given, and whether dismissed titles are included.
_SELECTS_RECENT: dict[tuple[bool, bool], Select[Any]] = {
    (False, True): _SELECT_RECENT,
    (True, True): _SELECT_RECENT.where(_AFTER_KEY),
    (False, False): _SELECT_RECENT.where(_NOT_DISMISSED),
    (True, False): _SELECT_RECENT.where(_AFTER_KEY, _NOT_DISMISSED),
}
_SELECT_ERASED_AT = select(_e.erased_at).where(*_match_profile(_erasures)).with_for_update(read=True)
_DELETE = delete(_positions).where(*_match_episode)


class SqlViewingStore:
    """A `ViewingStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the tables of a database and return the store in it."""
        await database.migrate("matinee.viewing.adapters:migrations", "viewing")
        return cls(database)

    async def save(self, position: Position, *, now: datetime) -> Position:
        return await self._database.write(partial(_save, position, now), gather_s=_GATHER_S)

    async def find_episode(
        self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId
    ) -> Position | None:
        key = {**_to_binds(account_id, profile_id), "b_title_id": title_id, "b_episode_id": episode_id}
        row = await self._database.read_autocommit(lambda c: c.execute(_SELECT_EPISODE, key).one_or_none())
        return None if row is None else _to_position(row)

    async def list_by_titles(
        self, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]
    ) -> list[Position]:
        profile = _to_binds(account_id, profile_id)
        if len(title_ids) == 1:
            statement, binds = _SELECT_TITLE, {**profile, "b_title_id": title_ids[0]}
        else:
            statement, binds = _SELECT_TITLES, {**profile, "b_title_ids": title_ids}
        return await self._database.read_autocommit(
            lambda c: [_to_position(row) for row in c.execute(statement, binds)]
        )

    async def list_recent(
        self,
        account_id: AccountId,
        profile_id: ProfileId,
        *,
        after: HistoryKey | None,
        limit: int,
        dismissed: bool,
        now: datetime,
    ) -> list[Position]:
        binds = {**_to_binds(account_id, profile_id), "b_limit": limit, "b_latest": now + CLOCK_SKEW}
        if after is not None:
            binds |= dict(zip(("b_updated_at", "b_title_id", "b_episode_id"), after, strict=True))
        statement = _SELECTS_RECENT[after is not None, dismissed]
        return await self._database.read(lambda c: [_to_position(row) for row in c.execute(statement, binds)])

    async def dismiss(self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, *, now: datetime) -> None:
        key = {"account_id": account_id, "profile_id": profile_id, "title_id": title_id}
        await self._database.write(partial(_store_latest, _dismissals, key, _d.dismissed_at, now))

    async def erase(self, account_id: AccountId, profile_id: ProfileId, *, now: datetime) -> None:
        def erase(connection: Connection) -> None:
            _store_latest(
                _erasures, {"account_id": account_id, "profile_id": profile_id}, _e.erased_at, now, connection
            )
            for table in (_positions, _dismissals):
                connection.execute(delete(table).where(*_match_profile(table)), _to_binds(account_id, profile_id))

        await self._database.write(erase)


def _save(position: Position, now: datetime, connection: Connection) -> Position:
    columns = {**msgspec.structs.asdict(position), "episode_id": position.episode_id or ""}
    binds = {f"b_{name}": value for name, value in columns.items()} | {"b_latest": now + CLOCK_SKEW}
    while not connection.execute(_UPDATE, binds).rowcount:
        if row := connection.execute(_SELECT_LOCKED, binds).first():
            # It may have been inserted after the update, and be older: it is locked now, so the update decides.
            if connection.execute(_UPDATE, binds).rowcount:
                break
            return _to_position(row)
        if _insert(_positions, columns, connection):
            if _is_erased(binds, connection):
                connection.execute(_DELETE, binds)
            break
    return position


def _is_erased(binds: dict[str, Any], connection: Connection) -> bool:
    """Return whether the profile was erased after a position that was just inserted.

    A save inserts and then reads the erasure; an erasure is stored before it deletes; both lock the rows. So at least
    one of two concurrent transactions sees the other.
    """
    erased_at = connection.execute(_SELECT_ERASED_AT, binds).scalar()
    return erased_at is not None and binds["b_updated_at"] <= erased_at


def _insert(table: Table, columns: dict[str, Any], connection: Connection) -> bool:
    """Insert a row; return False if it exists."""
    try:
        with connection.begin_nested():
            connection.execute(insert(table), columns)
    except IntegrityError:
        return False
    return True


def _store_latest(table: Table, key: dict[str, str], column: Any, now: datetime, connection: Connection) -> None:
    """Store a time under a key unless a later one is stored that is not ahead of it."""
    match = [table.c[name] == value for name, value in key.items()]
    if connection.execute(select(column).where(*match).with_for_update()).first() is None and _insert(
        table, {**key, column.name: now}, connection
    ):
        return
    is_older = or_(column < now, column > now + CLOCK_SKEW)
    connection.execute(update(table).where(*match, is_older).values({column: now}))


def _to_binds(account_id: AccountId, profile_id: ProfileId) -> dict[str, Any]:
    return {"b_account_id": account_id, "b_profile_id": profile_id}


def _to_position(row: Row[Any]) -> Position:
    return Position(**{**row._mapping, "episode_id": row.episode_id or None})
