"""Positions in SQL.

A position is stored by one conditional UPDATE, whose own WHERE says which of two stands, so that no order of
arrival and no race can make an older one win. Only the first of a film or episode is an INSERT.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Self

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
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from matinee.drivers.sql import Database, UtcTime
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table
from matinee.events.api import FactRecord
from matinee.kit.ids import AccountId, EpisodeId, ProfileId, TitleId
from matinee.viewing.api import Position
from matinee.viewing.model import Place

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
_outbox = define_outbox_table(_metadata, "viewing")

_p, _d, _e = _positions.c, _dismissals.c, _erasures.c


def _of_profile(table: Table) -> list[Any]:
    return [table.c.account_id == bindparam("b_account_id"), table.c.profile_id == bindparam("b_profile_id")]


_this = [
    *_of_profile(_positions),
    _p.title_id == bindparam("b_title_id"),
    _p.episode_id == bindparam("b_episode_id"),
]
_newest_first = [_p.updated_at.desc(), _p.title_id.desc(), _p.episode_id.desc()]
_values = ("position_ms", "duration_ms", "updated_at", "device_id")

# The order of `model.standing`.
_MOVE = (
    update(_positions)
    .where(
        *_this,
        tuple_(_p.updated_at, _p.device_id, _p.position_ms, _p.duration_ms)
        < tuple_(
            bindparam("b_updated_at", type_=UtcTime),
            bindparam("b_device_id"),
            bindparam("b_position_ms"),
            bindparam("b_duration_ms"),
        ),
    )
    .values({name: bindparam(f"b_{name}") for name in _values})
)
_ONE = select(_positions).where(*_this)
_STANDING = _ONE.with_for_update()  # the newest, also where a transaction reads from a snapshot
_OF_TITLES = (
    select(_positions)
    .where(*_of_profile(_positions), _p.title_id.in_(bindparam("b_title_ids", expanding=True)))
    .order_by(*_newest_first)
)
# Without IN, whose list is written out anew at every call: this one is on the way of pressing play.
_OF_TITLE = (
    select(_positions).where(*_of_profile(_positions), _p.title_id == bindparam("b_title_id")).order_by(*_newest_first)
)
_RECENT = select(_positions).where(*_of_profile(_positions)).order_by(*_newest_first).limit(bindparam("b_limit"))
_BEHIND = tuple_(_p.updated_at, _p.title_id, _p.episode_id) < tuple_(
    bindparam("b_updated_at", type_=UtcTime), bindparam("b_title_id"), bindparam("b_episode_id")
)
_NOT_DISMISSED = ~exists().where(
    _d.account_id == _p.account_id,
    _d.profile_id == _p.profile_id,
    _d.title_id == _p.title_id,
    _d.dismissed_at >= _p.updated_at,
)
# By whether a place is given, and whether what was dismissed is wanted.
_RECENTS: dict[tuple[bool, bool], Select[Any]] = {
    (False, True): _RECENT,
    (True, True): _RECENT.where(_BEHIND),
    (False, False): _RECENT.where(_NOT_DISMISSED),
    (True, False): _RECENT.where(_BEHIND, _NOT_DISMISSED),
}
_ERASED_AT = select(_e.erased_at).where(*_of_profile(_erasures)).with_for_update(read=True)
_DROP = delete(_positions).where(*_this)
_KEEP_FACT = insert(_outbox)


class SqlViewingStore:
    """A `ViewingStore` in SQL. `outbox` holds the facts to be relayed."""

    exact_facts: ClassVar[bool] = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = SqlOutbox(database, _outbox)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """The store in a database, its tables brought up to date."""
        await database.migrate("matinee.viewing.adapters:migrations", "viewing")
        return cls(database)

    async def save(self, position: Position, *, record: FactRecord) -> Position:
        stands, changed = await self._database.write(partial(_save, position, msgspec.json.encode(record)))
        if changed:
            self.outbox.notify()
        return stands

    async def one(
        self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId
    ) -> Position | None:
        key = {**_profile(account_id, profile_id), "b_title_id": title_id, "b_episode_id": episode_id}
        row = await self._database.read_autocommit(lambda c: c.execute(_ONE, key).one_or_none())
        return None if row is None else _position(row)

    async def of_titles(self, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]) -> list[Position]:
        whose = _profile(account_id, profile_id)
        if len(title_ids) == 1:
            statement, binds = _OF_TITLE, {**whose, "b_title_id": title_ids[0]}
        else:
            statement, binds = _OF_TITLES, {**whose, "b_title_ids": title_ids}
        return await self._database.read_autocommit(lambda c: [_position(row) for row in c.execute(statement, binds)])

    async def recent(
        self, account_id: AccountId, profile_id: ProfileId, *, after: Place | None, limit: int, dismissed: bool
    ) -> list[Position]:
        binds = {**_profile(account_id, profile_id), "b_limit": limit}
        if after is not None:
            binds |= dict(zip(("b_updated_at", "b_title_id", "b_episode_id"), after, strict=True))
        return await self._positions(_RECENTS[after is not None, dismissed], binds)

    async def dismiss(self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, *, now: datetime) -> None:
        key = {"account_id": account_id, "profile_id": profile_id, "title_id": title_id}
        await self._database.write(partial(_latest, _dismissals, key, _d.dismissed_at, now))

    async def erase(self, account_id: AccountId, profile_id: ProfileId, *, now: datetime) -> None:
        def drop(connection: Connection) -> None:
            _latest(_erasures, {"account_id": account_id, "profile_id": profile_id}, _e.erased_at, now, connection)
            for table in (_positions, _dismissals):
                connection.execute(delete(table).where(*_of_profile(table)), _profile(account_id, profile_id))

        await self._database.write(drop)

    async def _positions(self, statement: Select[Any], binds: dict[str, Any]) -> list[Position]:
        return await self._database.read(lambda c: [_position(row) for row in c.execute(statement, binds)])


def _save(position: Position, record: bytes, connection: Connection) -> tuple[Position, bool]:
    columns = {**msgspec.structs.asdict(position), "episode_id": position.episode_id or ""}
    binds = {f"b_{name}": value for name, value in columns.items()}
    while not connection.execute(_MOVE, binds).rowcount:
        if row := connection.execute(_STANDING, binds).first():
            # It may have been added between our two looks, and be older: now that it is locked, the first look counts.
            if connection.execute(_MOVE, binds).rowcount:
                break
            return _position(row), False
        if _inserted(_positions, columns, connection):
            if _is_erased(binds, connection):
                connection.execute(_DROP, binds)
                return position, False
            break
    connection.execute(_KEEP_FACT, {"record": record})
    return position, True


def _is_erased(binds: dict[str, Any], connection: Connection) -> bool:
    """Whether the profile was erased after a position was seen: asked only of one that was just added.

    Who saves adds and then asks; who erases says so and then deletes; each with a lock. So one of them sees the other.
    """
    erased_at = connection.execute(_ERASED_AT, binds).scalar()
    return erased_at is not None and binds["b_updated_at"] <= erased_at


def _inserted(table: Table, columns: dict[str, Any], connection: Connection) -> bool:
    """Whether it was we who inserted the row, and nobody else in the same instant."""
    try:
        with connection.begin_nested():
            connection.execute(insert(table), columns)
    except IntegrityError:
        return False
    return True


def _latest(table: Table, key: dict[str, str], column: Any, now: datetime, connection: Connection) -> None:
    """Keep the latest time under a key."""
    here = [table.c[name] == value for name, value in key.items()]
    if connection.execute(select(column).where(*here).with_for_update()).first() is None and _inserted(
        table, {**key, column.name: now}, connection
    ):
        return
    connection.execute(update(table).where(*here, column < now).values({column: now}))


def _profile(account_id: AccountId, profile_id: ProfileId) -> dict[str, Any]:
    return {"b_account_id": account_id, "b_profile_id": profile_id}


def _position(row: Row[Any]) -> Position:
    values: Sequence[Any] = row
    account_id, profile_id, title_id, episode_id, position_ms, duration_ms, updated_at, device_id = values
    return Position(
        account_id=account_id,
        profile_id=profile_id,
        title_id=title_id,
        episode_id=episode_id or None,
        position_ms=position_ms,
        duration_ms=duration_ms,
        updated_at=updated_at,
        device_id=device_id,
    )
