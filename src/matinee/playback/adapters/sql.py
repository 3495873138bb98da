"""`SessionStore` in SQL: SQLite, MariaDB. A session is one row, whose body stays as it was created."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Self

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Delete,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Update,
    bindparam,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)

from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table
from matinee.kit.clock import CLOCK_SKEW
from matinee.kit.ids import AccountId, EdgeId, PlaySessionId
from matinee.playback.model.sessions import StoredSession

_MEDIUM = (1 << 24) - 1
# No viewer waits for a heartbeat: several share a commit of the store, and more facts share a commit of the log.
_GATHER_S, _RELAY_S = 1.0, 5.0
_metadata = MetaData()
_sessions = Table(
    "playback_sessions",
    _metadata,
    Column("session_id", String(40), primary_key=True),
    Column("account_id", String(40)),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("position_ms", BigInteger, nullable=False),
    Column("avoid", JsonBytes(tuple[EdgeId, ...], _MEDIUM), nullable=False),
    Column("served", JsonBytes(tuple[EdgeId, ...], _MEDIUM)),  # null in rows of earlier versions
    Column("body", JsonBytes(StoredSession, _MEDIUM), nullable=False),
)
_outbox = define_outbox_table(_metadata, "playback")
_c = _sessions.c

_create = insert(_sessions)
_columns = select(_c.body, _c.last_seen_at, _c.ended_at, _c.position_ms, _c.avoid, _c.served)
_find = _columns.where(_c.session_id == bindparam("id"))
_open = _columns.where(_c.ended_at.is_(None)).order_by(_c.last_seen_at).limit(bindparam("most"))
_latest = bindparam("latest", type_=UtcTime)  # later times are from clocks that were ahead
_idle = _open.where(or_(_c.last_seen_at < bindparam("since"), _c.last_seen_at > _latest))
_open_of_account = _open.where(_c.account_id == bindparam("account"))
_update_open = update(_sessions).where(_c.session_id == bindparam("id"), _c.ended_at.is_(None))
# The latest time stays, in whatever order changes arrive.
_now = bindparam("now", type_=UtcTime)
_is_newest = or_(_c.last_seen_at <= _now, _c.last_seen_at > _latest)
_newest_time = case((_is_newest, _now), else_=_c.last_seen_at)
_newest_position = case((_is_newest, bindparam("position", type_=BigInteger)), else_=_c.position_ms)
_move = _update_open.values(position_ms=_newest_position, last_seen_at=_newest_time)
_set_edges = _update_open.values(
    avoid=bindparam("avoided"), served=bindparam("served_edges"), last_seen_at=_newest_time
)
_close = _update_open.values(
    position_ms=bindparam("position"), last_seen_at=bindparam("now"), ended_at=bindparam("now")
)
_delete_ended = delete(_sessions).where(_c.ended_at < bindparam("before"))


class SqlSessionStore:
    """Playback's tables; `outbox` relays its facts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = SqlOutbox(database, _outbox)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Open the store and migrate its tables."""
        await database.migrate("matinee.playback.adapters:migrations", "playback")
        return cls(database)

    async def create(self, *, session: StoredSession, records: list[bytes]) -> None:
        row = {
            "session_id": session.session_id,
            "account_id": session.account_id,
            "last_seen_at": session.last_seen_at,
            "position_ms": session.position_ms,
            "avoid": session.avoid,
            "served": session.served,
            "body": session,
        }

        def transaction(connection: Connection) -> None:
            connection.execute(_create, row)
            self.outbox.put(connection, records)

        await self._database.write(transaction)
        self.outbox.notify(within_s=_RELAY_S)

    async def find(self, *, session_id: PlaySessionId) -> StoredSession | None:
        row = await self._database.read_autocommit(
            lambda connection: connection.execute(_find, {"id": session_id}).first()
        )
        return None if row is None else _to_session(row)

    async def move(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        values = {"id": session_id, "position": position_ms, "now": now}
        return await self._update_open(_move, values, records, gather_s=_GATHER_S, relay_s=_RELAY_S)

    async def set_edges(
        self, *, session_id: PlaySessionId, avoid: tuple[EdgeId, ...], served: tuple[EdgeId, ...], now: datetime
    ) -> None:
        values = {"id": session_id, "avoided": avoid, "served_edges": served, "now": now}
        await self._update_open(_set_edges, values, [])

    async def close(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        return await self._update_open(_close, {"id": session_id, "position": position_ms, "now": now}, records)

    async def list_open(self, *, account_id: AccountId, limit: int) -> list[StoredSession]:
        return await self._list(_open_of_account, {"account": account_id, "most": limit})

    async def list_idle(self, *, since: datetime, now: datetime, limit: int) -> list[StoredSession]:
        return await self._list(_idle, {"since": since, "latest": now + CLOCK_SKEW, "most": limit})

    async def delete_ended(self, *, before: datetime) -> int:
        return await self._database.write(partial(_count, _delete_ended, {"before": before}))

    async def _list(self, statement: Select[Any], values: dict[str, Any]) -> list[StoredSession]:
        rows = await self._database.read(lambda connection: connection.execute(statement, values).all())
        return [_to_session(row) for row in rows]

    async def _update_open(
        self,
        statement: Update,
        values: dict[str, Any],
        records: list[bytes],
        *,
        gather_s: float = 0.0,
        relay_s: float = 0.0,
    ) -> bool:
        """Change an open session and store the facts; return False, and do neither, where it is not open."""
        values["latest"] = values["now"] + CLOCK_SKEW

        def transaction(connection: Connection) -> bool:
            if not _count(statement, values, connection):
                return False
            self.outbox.put(connection, records)
            return True

        changed = await self._database.write(transaction, gather_s=gather_s)
        self.outbox.notify(within_s=relay_s)
        return changed


def _count(statement: Update | Delete, values: dict[str, Any], connection: Connection) -> int:
    return connection.execute(statement, values).rowcount


def _to_session(row: Row[*tuple[Any, ...]]) -> StoredSession:
    session: StoredSession = row.body
    return replace(
        session,
        last_seen_at=row.last_seen_at,
        ended_at=row.ended_at,
        position_ms=row.position_ms,
        avoid=row.avoid,
        served=session.served if row.served is None else row.served,
    )
