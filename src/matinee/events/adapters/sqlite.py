"""The log on SQLite.

Every write holds SQLite's one write lock from its first statement to its commit, in whatever process it runs, so
numbers become visible in the order in which they were given: a reader that has seen number n never finds a
smaller one later. A cursor is the number of the last fact seen. Concurrent appends share one fsync (`drivers.sql`).
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from heapq import merge
from itertools import islice
from typing import Any, ClassVar, Final, Self

import msgspec
from sqlalchemy import Connection

from matinee.drivers.sql import Database
from matinee.events.adapters.letters import again, handed_over, kept
from matinee.events.api import BadCursor, Batch, DeadLetter, Entry, FactRecord, Lag, type_name
from matinee.events.model import KINDS
from matinee.events.ports import DeadLetterFilter, StoredDeadLetter
from matinee.kit import ids, log
from matinee.kit.clock import to_ms
from matinee.kit.ids import FactId

MAX_SEQ: Final = 2**63 - 1
# The type of a row that is a dead letter, for its consumer to take once more: whoever else reads passes over it.
RETRY: Final = "Retry"
_log = log.get()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FactRecord)

# The time of append never falls, even when the clock does: `cursor_at` relies on it.
_INSERT = """
INSERT INTO events_log (fact_id, type, appended_ms, record)
VALUES (?, ?, max(?, coalesce((SELECT appended_ms FROM events_log ORDER BY seq DESC LIMIT 1), 0)), ?)
ON CONFLICT (fact_id) DO NOTHING
"""
_HEAD = "SELECT coalesce(max(seq), 0) FROM events_log"
_READ_ALL = "SELECT seq, type, record FROM events_log WHERE seq > ? AND type != 'Retry' ORDER BY seq LIMIT ?"
_READ_TYPE = "SELECT seq, type, record FROM events_log WHERE type = ? AND seq > ? ORDER BY seq LIMIT ?"
_BEFORE = "SELECT seq FROM events_log WHERE appended_ms < ? ORDER BY appended_ms DESC, seq DESC LIMIT 1"
_COMMIT = """
INSERT INTO events_consumer (consumer, seq) VALUES (?, min(?, (SELECT coalesce(max(seq), 0) FROM events_log)))
ON CONFLICT (consumer) DO UPDATE SET seq = max(seq, excluded.seq)
"""
_COMMITTED = "SELECT seq FROM events_consumer WHERE consumer = ?"
_LAGS = """
SELECT consumer, (SELECT count(*) FROM events_log WHERE events_log.seq > events_consumer.seq)
FROM events_consumer ORDER BY consumer
"""
_HOLD = """
INSERT INTO events_lease (consumer, holder, until_ms) VALUES (?, ?, ?)
ON CONFLICT (consumer) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
WHERE holder = excluded.holder OR until_ms <= ?
"""
_HOLDER = "SELECT count(*) FROM events_lease WHERE consumer = ? AND holder = ?"
_BURY = "INSERT INTO events_dead_letter (consumer, fact_id, type, letter) VALUES (?, ?, ?, ?)"
_UNEARTH = "DELETE FROM events_dead_letter WHERE consumer = ? AND fact_id = ?"
_WAITING = """
SELECT letter FROM events_dead_letter
WHERE :consumer IN ('', consumer)
AND (:types = '[]' OR type IN (SELECT value FROM json_each(:types)))
AND (:fact_ids = '[]' OR fact_id IN (SELECT value FROM json_each(:fact_ids)))
ORDER BY seq DESC LIMIT :limit
"""


class SqliteEventLog:
    """Fulfils `EventLog`, `DeadLetterStore` and `ConsumerLeases` in one file, shared by any number of processes on one machine."""

    drops_repeats: ClassVar[bool] = True
    one_order: ClassVar[bool] = True

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """The log in a database, its tables brought up to date."""
        await database.migrate("matinee.events.adapters:migrations", "events")
        return cls(database)

    async def append(self, records: list[FactRecord], *, now: datetime) -> None:
        now_ms = to_ms(now)
        rows = [(str(r.fact_id), type_name(r.fact), now_ms, _encoder.encode(r)) for r in records]
        if rows:
            await self._database.write(partial(_change, _INSERT, rows))

    async def read(self, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        return await self._batch(after, limit, types, "")

    async def read_for_consumer(self, consumer: str, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        return await self._batch(after, limit, (*(types or KINDS), RETRY), consumer)

    async def get_head(self) -> str:
        return _cursor(await self._database.read(_head))

    async def find_cursor(self, moment: datetime) -> str:
        return _cursor(await self._database.read(partial(_number, _BEFORE, to_ms(moment))))

    async def commit(self, consumer: str, cursor: str) -> None:
        await self._database.write(partial(_change, _COMMIT, (consumer, _seq(cursor))))

    async def get_committed(self, consumer: str) -> str:
        return _cursor(await self._database.read(partial(_number, _COMMITTED, consumer)))

    async def list_lags(self) -> list[Lag]:
        rows = await self._database.read(partial(_rows, _LAGS))
        return [Lag(consumer=consumer, behind=behind) for consumer, behind in rows]

    async def acquire_lease(self, consumer: str, holder: str, *, until: datetime, now: datetime) -> bool:
        def take(connection: Connection) -> bool:
            _change(_HOLD, (consumer, holder, to_ms(until), to_ms(now)), connection)
            return bool(_rows(_HOLDER, connection, consumer, holder)[0][0])

        return await self._database.write(take)

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        record = letter.entry.record

        def keep(connection: Connection) -> None:
            _change(_UNEARTH, (letter.consumer, record.fact_id), connection)
            row = (letter.consumer, record.fact_id, type_name(record.fact), _encoder.encode(letter))
            _change(_BURY, row, connection)

        await self._database.write(keep)

    async def find_dead_letters(self, choice: DeadLetterFilter, *, limit: int) -> list[StoredDeadLetter]:
        said = {
            "consumer": choice.consumer,
            "types": _encoder.encode(choice.types).decode(),
            "fact_ids": _encoder.encode(choice.fact_ids).decode(),
            "limit": limit,
        }

        def look(connection: Connection) -> list[bytes]:
            return list(connection.exec_driver_sql(_WAITING, said).scalars())

        return [one for letter in await self._database.read(look) if (one := kept(letter)) is not None]

    async def redeliver(self, letters: list[DeadLetter], *, now: datetime) -> None:
        await self._database.write(partial(_hand_over, letters, now))

    async def _batch(self, after: str, limit: int, types: tuple[str, ...], consumer: str) -> Batch:
        seq = _seq(after)
        rows, head = await self._database.read(partial(_read, seq, limit, types))
        full = len(rows) == limit
        return Batch(
            entries=[entry for row in rows if (entry := _entry(*row, consumer)) is not None],
            cursor=_cursor(rows[-1][0] if full else max(seq, head)),
        )


def _change(statement: str, arguments: Any, connection: Connection) -> None:
    connection.exec_driver_sql(statement, arguments)


def _hand_over(letters: list[DeadLetter], now: datetime, connection: Connection) -> None:
    """Take letters away and append them, each once: what somebody else has handed over meanwhile is passed over."""
    for letter in letters:
        gone = connection.exec_driver_sql(_UNEARTH, (letter.consumer, letter.entry.record.fact_id))
        if gone.rowcount:
            row = (str(ids.generate(FactId, now)), RETRY, to_ms(now), _encoder.encode(again(letter)))
            _change(_INSERT, row, connection)


def _read(
    after: int, limit: int, types: tuple[str, ...], connection: Connection
) -> tuple[list[tuple[int, str, bytes]], int]:
    """Rows and the head of one snapshot. Each type has its own index range: a rare one is found without a scan."""
    head = _head(connection)
    if not types:
        return _rows(_READ_ALL, connection, after, limit), head
    ranges = [_rows(_READ_TYPE, connection, kind, after, limit) for kind in sorted(set(types))]
    return list(islice(merge(*ranges), limit)), head


def _rows(statement: str, connection: Connection, *arguments: object) -> list[Any]:
    return [tuple(row) for row in connection.exec_driver_sql(statement, arguments)]


def _head(connection: Connection) -> int:
    return _number(_HEAD, None, connection)


def _number(statement: str, argument: object, connection: Connection) -> int:
    row = connection.exec_driver_sql(statement, () if argument is None else (argument,)).first()
    return 0 if row is None else int(row[0])


def _cursor(seq: int) -> str:
    return str(seq) if seq else ""


def _seq(cursor: str) -> int:
    if cursor == "":
        return 0
    if not cursor.isascii() or not cursor.isdigit() or int(cursor) > MAX_SEQ:
        raise BadCursor(detail=f"{cursor[:64]!r} is no place in this log.")
    return int(cursor)


def _entry(seq: int, kind: str, record: bytes, consumer: str) -> Entry | None:
    """The entry; None for a fact that this version does not know, and for what is another consumer's to retry."""
    if kind == RETRY:
        return handed_over(record, consumer)
    try:
        return Entry(place=str(seq), record=_decoder.decode(record))
    except msgspec.MsgspecError as error:
        _log.warning("events.unreadable", place=str(seq), error=str(error))
        return None
