"""Play sessions in SQL: SQLite, MariaDB. One row a session, written once at the start and moved by each heartbeat."""

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
    String,
    Table,
    Update,
    bindparam,
    case,
    delete,
    insert,
    select,
    update,
)

from matinee.drivers.sql import Database, JsonBytes, UtcTime
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table
from matinee.kit.ids import EdgeId, PlaySessionId
from matinee.playback.model.sessions import StoredSession

_MEDIUM = (1 << 24) - 1
_metadata = MetaData()
_sessions = Table(
    "playback_sessions",
    _metadata,
    Column("session_id", String(40), primary_key=True),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("position_ms", BigInteger, nullable=False),
    Column("avoid", JsonBytes(tuple[EdgeId, ...], _MEDIUM), nullable=False),
    Column("body", JsonBytes(StoredSession, _MEDIUM), nullable=False),  # as it was opened; the columns hold what moves
)
_outbox = define_outbox_table(_metadata, "playback")
_c = _sessions.c

_begin = insert(_sessions)
_columns = select(_c.body, _c.last_seen_at, _c.ended_at, _c.position_ms, _c.avoid)
_find = _columns.where(_c.session_id == bindparam("id"))
_idle = (
    _columns.where(_c.ended_at.is_(None), _c.last_seen_at < bindparam("since"))
    .order_by(_c.last_seen_at)
    .limit(bindparam("most"))
)
_while_open = update(_sessions).where(_c.session_id == bindparam("id"), _c.ended_at.is_(None))
# Of two that are heard of at once the newer holds, whichever comes last.
_now = bindparam("now", type_=UtcTime)
_is_newest = _c.last_seen_at <= _now
_seen = case((_is_newest, _now), else_=_c.last_seen_at)
_moved = case((_is_newest, bindparam("position", type_=BigInteger)), else_=_c.position_ms)
_move = _while_open.values(position_ms=_moved, last_seen_at=_seen)
_steer = _while_open.values(avoid=bindparam("edges"), last_seen_at=_seen)
_close = _while_open.values(position_ms=bindparam("position"), last_seen_at=bindparam("now"), ended_at=bindparam("now"))
_forget = delete(_sessions).where(_c.ended_at < bindparam("before"))


class SqlSessionStore:
    """Playback's tables; `outbox` relays its facts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = SqlOutbox(database, _outbox)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """The store, its tables brought to the newest version."""
        await database.migrate("matinee.playback.adapters:migrations", "playback")
        return cls(database)

    async def create(self, *, session: StoredSession, records: list[bytes]) -> None:
        row = {
            "session_id": session.session_id,
            "last_seen_at": session.last_seen_at,
            "position_ms": session.position_ms,
            "avoid": session.avoid,
            "body": session,
        }

        def transaction(connection: Connection) -> None:
            connection.execute(_begin, row)
            self.outbox.put(connection, records)

        await self._database.write(transaction)
        self.outbox.notify()

    async def find(self, *, session_id: PlaySessionId) -> StoredSession | None:
        row = await self._database.read_autocommit(
            lambda connection: connection.execute(_find, {"id": session_id}).first()
        )
        return None if row is None else _session(row)

    async def move(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        return await self._while_open(_move, {"id": session_id, "position": position_ms, "now": now}, records)

    async def avoid_edges(self, *, session_id: PlaySessionId, edge_ids: tuple[EdgeId, ...], now: datetime) -> None:
        await self._while_open(_steer, {"id": session_id, "edges": edge_ids, "now": now}, [])

    async def close(self, *, session_id: PlaySessionId, position_ms: int, now: datetime, records: list[bytes]) -> bool:
        return await self._while_open(_close, {"id": session_id, "position": position_ms, "now": now}, records)

    async def find_idle(self, *, since: datetime, limit: int) -> list[StoredSession]:
        values = {"since": since, "most": limit}
        rows = await self._database.read(lambda connection: connection.execute(_idle, values).all())
        return [_session(row) for row in rows]

    async def delete_ended(self, *, before: datetime) -> int:
        return await self._database.write(partial(_count, _forget, {"before": before}))

    async def _while_open(self, statement: Update, values: dict[str, Any], records: list[bytes]) -> bool:
        """Change the session and keep the facts, or neither where the session is over."""

        def transaction(connection: Connection) -> bool:
            if not _count(statement, values, connection):
                return False
            self.outbox.put(connection, records)
            return True

        changed = await self._database.write(transaction)
        self.outbox.notify()
        return changed


def _count(statement: Update | Delete, values: dict[str, Any], connection: Connection) -> int:
    return connection.execute(statement, values).rowcount


def _session(row: Row[*tuple[Any, ...]]) -> StoredSession:
    opened: StoredSession = row.body
    return replace(
        opened, last_seen_at=row.last_seen_at, ended_at=row.ended_at, position_ms=row.position_ms, avoid=row.avoid
    )
