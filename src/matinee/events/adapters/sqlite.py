"""The log on SQLite.

Every write holds SQLite's one write lock from its first statement to its commit, in whatever process it runs, so
offsets become visible in the order in which they were given: a reader that has seen offset n never finds a
smaller one later. Concurrent appends share one fsync (`drivers.sql`).
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from heapq import merge
from itertools import islice
from typing import Self

import msgspec
from sqlalchemy import Connection

from matinee.drivers.sql import Database
from matinee.events.api import Batch, Entry, Record
from matinee.kit import log
from matinee.kit.clock import to_ms

_log = log.get()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)

# The time of append never falls, even when the clock does: `offset_at` relies on it.
_INSERT = """
INSERT INTO events_log (fact_id, type, appended_ms, record)
VALUES (?, ?, max(?, coalesce((SELECT appended_ms FROM events_log ORDER BY seq DESC LIMIT 1), 0)), ?)
ON CONFLICT (fact_id) DO NOTHING
"""
_OFFSETS = "SELECT fact_id, seq FROM events_log WHERE fact_id IN (SELECT value FROM json_each(?))"
_HEAD = "SELECT coalesce(max(seq), 0) FROM events_log"
_READ_ALL = "SELECT seq, record FROM events_log WHERE seq > ? ORDER BY seq LIMIT ?"
_READ_TYPE = "SELECT seq, record FROM events_log WHERE type = ? AND seq > ? ORDER BY seq LIMIT ?"
_BEFORE = "SELECT seq FROM events_log WHERE appended_ms < ? ORDER BY appended_ms DESC, seq DESC LIMIT 1"
_COMMIT = """
INSERT INTO events_consumer (consumer, seq) VALUES (?, min(?, (SELECT coalesce(max(seq), 0) FROM events_log)))
ON CONFLICT (consumer) DO UPDATE SET seq = max(seq, excluded.seq)
"""
_COMMITTED = "SELECT seq FROM events_consumer WHERE consumer = ?"


class SQLiteEventLog:
    """An `EventLog` in one SQLite file, shared by any number of processes on one machine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """The log in a database, its tables brought up to date."""
        await database.migrate("matinee.events.adapters:migrations", "events")
        return cls(database)

    async def append(self, records: list[Record], *, now: datetime) -> list[int]:
        now_ms = to_ms(now)
        rows = [(str(r.fact_id), type(r.fact).__name__, now_ms, _encoder.encode(r)) for r in records]
        return await self._database.write(partial(_append, rows)) if rows else []

    async def read(self, *, after: int, limit: int, types: tuple[str, ...]) -> Batch:
        rows, head = await self._database.read(partial(_read, after, limit, types))
        full = len(rows) == limit
        return Batch(
            entries=[entry for row in rows if (entry := _entry(*row)) is not None],
            next_offset=rows[-1][0] if full else max(after, head),
        )

    async def head(self) -> int:
        return await self._database.read(_head)

    async def offset_at(self, moment: datetime) -> int:
        return await self._database.read(partial(_number, _BEFORE, to_ms(moment)))

    async def commit(self, consumer: str, offset: int) -> None:
        def keep(connection: Connection) -> None:
            connection.exec_driver_sql(_COMMIT, (consumer, offset))

        await self._database.write(keep)

    async def committed(self, consumer: str) -> int:
        return await self._database.read(partial(_number, _COMMITTED, consumer))


def _append(rows: list[tuple[str, str, int, bytes]], connection: Connection) -> list[int]:
    connection.exec_driver_sql(_INSERT, rows)
    ids = [row[0] for row in rows]
    found = connection.exec_driver_sql(_OFFSETS, (_encoder.encode(ids).decode(),))
    offsets: dict[str, int] = dict(iter(found))
    return [offsets[fact_id] for fact_id in ids]


def _read(
    after: int, limit: int, types: tuple[str, ...], connection: Connection
) -> tuple[list[tuple[int, bytes]], int]:
    """Rows and the head of one snapshot. Each type has its own index range: a rare one is found without a scan."""
    head = _head(connection)
    if not types:
        return _rows(connection, _READ_ALL, after, limit), head
    ranges = [_rows(connection, _READ_TYPE, kind, after, limit) for kind in sorted(set(types))]
    return list(islice(merge(*ranges), limit)), head


def _rows(connection: Connection, statement: str, *arguments: object) -> list[tuple[int, bytes]]:
    return [(seq, record) for seq, record in connection.exec_driver_sql(statement, arguments)]


def _head(connection: Connection) -> int:
    return _number(_HEAD, None, connection)


def _number(statement: str, argument: object, connection: Connection) -> int:
    row = connection.exec_driver_sql(statement, () if argument is None else (argument,)).first()
    return 0 if row is None else int(row[0])


def _entry(offset: int, record: bytes) -> Entry | None:
    """The entry, or None for a fact that a newer version of Matinee wrote and this one does not know."""
    try:
        return Entry(offset=offset, record=_decoder.decode(record))
    except msgspec.MsgspecError as error:
        _log.warning("events.unreadable", offset=offset, error=str(error))
        return None
