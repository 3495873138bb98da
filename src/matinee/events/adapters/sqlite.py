"""The log on SQLite.

Every write holds SQLite's single write lock from its first statement to its commit, in every process, so that rows
become visible in the order of their numbers: a reader of row n never finds a smaller number later. A cursor is the
number of the last row read. Concurrent appends share one fsync (`drivers.sql`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import msgspec
from sqlalchemy import Connection

from matinee.drivers.sql import Database
from matinee.events.adapters.lease_files import LeaseFiles
from matinee.events.adapters.letters import parse_letter, parse_redelivered, to_redelivered
from matinee.events.api import BadCursor, Batch, DeadLetter, Entry, FactRecord, Lag, type_name
from matinee.events.model import FACT_TYPES
from matinee.events.ports import MAX_LEASE_MS, DeadLetterFilter, StoredDeadLetter
from matinee.kit import ids, log, url
from matinee.kit.clock import CLOCK_SKEW, from_ms, to_ms
from matinee.kit.ids import FactId

MAX_SEQ: Final = 2**63 - 1
# So many facts are deleted at once: other writers wait for less than 50 ms.
TRIMMED_AT_ONCE: Final = 2_000
# The type of a row that redelivers a dead letter to its consumer; other readers skip it.
REDELIVERY: Final = "Retry"
_log = log.get()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FactRecord)

# The time of append never decreases, even when the clock does: `find_cursor` relies on it.
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
# The newest fact stays: the head of the log is its number.
_PASSED = """
SELECT min((SELECT coalesce(min(seq), ?) FROM events_consumer), (SELECT coalesce(max(seq), 0) - 1 FROM events_log))
"""
_OLDER = "SELECT coalesce(max(seq), 0) FROM events_log WHERE appended_ms < ?"
_NEXT_PAGE = "SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM events_log WHERE seq <= ? ORDER BY seq LIMIT ?)"
_TRIM = "DELETE FROM events_log WHERE seq <= ?"
_USED = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size
"""
_LAGS = """
SELECT consumer, (SELECT count(*) FROM events_log WHERE events_log.seq > events_consumer.seq)
FROM events_consumer ORDER BY consumer
"""
_LEASE = "SELECT holder, until_ms FROM events_lease WHERE consumer = ?"
_SET_LEASE = "INSERT OR REPLACE INTO events_lease (consumer, holder, until_ms) VALUES (?, ?, ?)"
_ADD_LETTER = "INSERT INTO events_dead_letter (consumer, fact_id, type, letter) VALUES (?, ?, ?, ?)"
_REMOVE_LETTER = "DELETE FROM events_dead_letter WHERE consumer = ? AND fact_id = ?"
_FIND_LETTERS = """
SELECT letter FROM events_dead_letter
WHERE :consumer IN ('', consumer)
AND (:types = '[]' OR type IN (SELECT value FROM json_each(:types)))
AND (:fact_ids = '[]' OR fact_id IN (SELECT value FROM json_each(:fact_ids)))
ORDER BY seq DESC LIMIT :limit
"""


class SqliteEventLog:
    """An `EventLog`, `DeadLetterStore` and `ConsumerLeases` in one file, shared by the processes of one machine."""

    drops_repeats: ClassVar[bool] = True
    one_order: ClassVar[bool] = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lease_files = LeaseFiles(Path(f"{url.file_path(database.url)}-leases"))

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the tables of a database and return the log in it."""
        await database.migrate("matinee.events.adapters:migrations", "events")
        log = cls(database)
        log._lease_files.delete_old()
        return log

    async def append(self, records: list[FactRecord], *, now: datetime) -> None:
        now_ms = to_ms(now)
        rows = [(str(r.fact_id), type_name(r.fact), now_ms, _encoder.encode(r)) for r in records]
        if rows:
            await self._database.write(partial(_execute, _INSERT, rows))

    async def read(self, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        return await self._read_batch(after, limit, types, "")

    async def read_for_consumer(self, consumer: str, *, after: str, limit: int, types: tuple[str, ...]) -> Batch:
        return await self._read_batch(after, limit, (*(types or FACT_TYPES), REDELIVERY), consumer)

    async def get_head(self) -> str:
        return _to_cursor(await self._database.read(_read_head))

    async def find_cursor(self, moment: datetime) -> str:
        return _to_cursor(await self._database.read(partial(_read_number, _BEFORE, to_ms(moment))))

    async def commit(self, consumer: str, cursor: str) -> None:
        await self._database.write(partial(_execute, _COMMIT, (consumer, _parse_cursor(cursor))))

    async def get_committed(self, consumer: str) -> str:
        return _to_cursor(await self._database.read(partial(_read_number, _COMMITTED, consumer)))

    async def list_lags(self) -> list[Lag]:
        rows = await self._database.read(partial(_read_rows, _LAGS))
        return [Lag(consumer=consumer, behind=behind) for consumer, behind in rows]

    async def trim(self, *, before: datetime, limit_bytes: int) -> int:
        """Delete facts that were appended before a time, and the oldest while the file has more than `limit_bytes`.

        No fact is deleted that a consumer has not passed. The file keeps its size; new facts take the place. Return the
        number of deleted facts. A limit of 0 is none.
        """
        deleted = 0
        while count := await self._database.write(partial(_trim, to_ms(before), limit_bytes)):
            deleted += count
        return deleted

    async def acquire_lease(self, consumer: str, holder: str, *, until: datetime, now: datetime) -> bool:
        if until > now and self._lease_files.renew(consumer, holder, until=until, now=now):
            lease = await self._database.read_autocommit(lambda connection: _read_rows(_LEASE, connection, consumer))
            if lease and lease[0].holder == holder:
                return True
        return await self._database.write(partial(self._acquire_lease, consumer, holder, until, now))

    def _acquire_lease(
        self, consumer: str, holder: str, until: datetime, now: datetime, connection: Connection
    ) -> bool:
        # The file is changed before the commit. Without the commit its holder is unknown, and it is deleted later.
        for other, until_ms in _read_rows(_LEASE, connection, consumer):
            ends_at = self._lease_files.get_end(consumer, other) or from_ms(until_ms)
            # A lease that ends later than any can is from a clock that was ahead.
            if other != holder and now < ends_at <= now + timedelta(milliseconds=MAX_LEASE_MS) + CLOCK_SKEW:
                return False
            self._lease_files.delete(consumer, other)
        _execute(_SET_LEASE, (consumer, holder, to_ms(until)), connection)
        if until > now:
            self._lease_files.set_end(consumer, holder, until)
        return True

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        record = letter.entry.record

        def add(connection: Connection) -> None:
            _execute(_REMOVE_LETTER, (letter.consumer, record.fact_id), connection)
            row = (letter.consumer, record.fact_id, type_name(record.fact), _encoder.encode(letter))
            _execute(_ADD_LETTER, row, connection)

        await self._database.write(add)

    async def find_dead_letters(self, selection: DeadLetterFilter, *, limit: int) -> list[StoredDeadLetter]:
        parameters = {
            "consumer": selection.consumer,
            "types": _encoder.encode(selection.types).decode(),
            "fact_ids": _encoder.encode(selection.fact_ids).decode(),
            "limit": limit,
        }

        def find(connection: Connection) -> list[bytes]:
            return list(connection.exec_driver_sql(_FIND_LETTERS, parameters).scalars())

        return [letter for data in await self._database.read(find) if (letter := parse_letter(data)) is not None]

    async def redeliver(self, letters: list[DeadLetter], *, now: datetime) -> None:
        await self._database.write(partial(_redeliver, letters, now))

    async def _read_batch(self, after: str, limit: int, types: tuple[str, ...], consumer: str) -> Batch:
        seq = _parse_cursor(after)
        rows, head = await self._database.read(partial(_read_log, seq, limit, types))
        is_full = len(rows) == limit
        return Batch(
            entries=[entry for row in rows if (entry := _parse_row(*row, consumer)) is not None],
            cursor=_to_cursor(rows[-1][0] if is_full else max(seq, head)),
        )


def _execute(statement: str, parameters: Any, connection: Connection) -> None:
    connection.exec_driver_sql(statement, parameters)


def _trim(before_ms: int, limit_bytes: int, connection: Connection) -> int:
    """Delete the oldest facts, as many as are deleted at once, and return their number."""
    last = _read_number(_OLDER, before_ms, connection)
    if limit_bytes and int(_read_rows(_USED, connection)[0][0]) > limit_bytes:
        last = MAX_SEQ
    passed = _read_number(_PASSED, MAX_SEQ, connection)
    last = int(_read_rows(_NEXT_PAGE, connection, min(last, passed), TRIMMED_AT_ONCE)[0][0])
    return connection.exec_driver_sql(_TRIM, (last,)).rowcount


def _redeliver(letters: list[DeadLetter], now: datetime, connection: Connection) -> None:
    """Remove letters and append their facts, except those that another process redelivered in the meantime."""
    for letter in letters:
        removed = connection.exec_driver_sql(_REMOVE_LETTER, (letter.consumer, letter.entry.record.fact_id))
        if removed.rowcount:
            data = _encoder.encode(to_redelivered(letter))
            _execute(_INSERT, (str(ids.generate(FactId, now)), REDELIVERY, to_ms(now), data), connection)


def _read_log(
    after: int, limit: int, types: tuple[str, ...], connection: Connection
) -> tuple[Sequence[tuple[int, str, bytes]], int]:
    """Return rows and the head of one snapshot. Each type has its own index range: rare types need no scan."""
    head = _read_head(connection)
    if not types:
        return _read_rows(_READ_ALL, connection, after, limit), head
    ranges = [_read_rows(_READ_TYPE, connection, name, after, limit) for name in set(types)]
    return sorted((row for rows in ranges for row in rows), key=itemgetter(0))[:limit], head


def _read_rows(statement: str, connection: Connection, *parameters: object) -> Sequence[Any]:
    return connection.exec_driver_sql(statement, parameters).all()


def _read_head(connection: Connection) -> int:
    return _read_number(_HEAD, None, connection)


def _read_number(statement: str, parameter: object, connection: Connection) -> int:
    row = connection.exec_driver_sql(statement, () if parameter is None else (parameter,)).first()
    return 0 if row is None else int(row[0])


def _to_cursor(seq: int) -> str:
    return str(seq) if seq else ""


def _parse_cursor(cursor: str) -> int:
    if cursor == "":
        return 0
    if not cursor.isascii() or not cursor.isdigit() or int(cursor) > MAX_SEQ:
        raise BadCursor(detail=f"{cursor[:64]!r} is not a cursor of this log.")
    return int(cursor)


def _parse_row(seq: int, type_: str, record: bytes, consumer: str) -> Entry | None:
    """Return the entry; None for an unknown fact, and for a redelivery to another consumer."""
    if type_ == REDELIVERY:
        return parse_redelivered(record, consumer)
    try:
        return Entry(offset=str(seq), record=_decoder.decode(record))
    except msgspec.MsgspecError as error:
        _log.warning("events.unreadable", offset=str(seq), error=str(error))
        return None
