"""The outbox: facts written in the transaction of the state they tell of, and relayed to the log afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, delete, insert, select

from matinee.drivers.sql import Database
from matinee.kit import log

_log = log.get()
BATCH = 500
IDLE_S = 5.0
# What is put within this time travels together: each journey costs two commits, however many facts it carries.
GATHER_S = 0.05
OTHERS_S = 0.25


def define_outbox_table(metadata: MetaData, domain: str) -> Table:
    """The domain's outbox: `<domain>_outbox(seq, record)`, a record being the bytes of an `events.api.Record`."""
    return Table(
        f"{domain}_outbox",
        metadata,
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("record", LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )


class Outbox:
    """A domain's facts on their way to the log.

    `put` is called inside a write transaction; `run` relays for ever, at least once and in order: the log
    drops what it has already by the fact's id.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        self._stirred = asyncio.Event()

    def put(self, connection: Connection, records: list[bytes]) -> None:
        """Store records beside the state, in its transaction."""
        if records:
            connection.execute(insert(self._table), [{"record": record} for record in records])

    def notify(self) -> None:
        """Say that something was put, so that it is relayed at once and not at the next look."""
        self._stirred.set()

    async def relay(self, append: Callable[[list[bytes]], Awaitable[None]]) -> int | None:
        """Hand everything waiting to the log and drop it here; tells how many, or None where another instance does.

        One at a time, because two would send everything twice, and what is older after what is newer.
        """
        async with self._database.advisory_lock(self._table.name) as alone:
            return await self._relayed(append) if alone else None

    async def _relayed(self, append: Callable[[list[bytes]], Awaitable[None]]) -> int:
        sent = 0
        while rows := await self._database.read(self._waiting):
            await append([record for _, record in rows])
            await self._database.write(partial(self._drop, [seq for seq, _ in rows]))
            sent += len(rows)
            await asyncio.sleep(0 if len(rows) == BATCH else GATHER_S)
        return sent

    async def run(self, append: Callable[[list[bytes]], Awaitable[None]]) -> None:
        """Relay whenever something was put, and every few seconds, until cancelled."""
        while True:
            self._stirred.clear()
            try:
                sent = await self.relay(append)
            except Exception as error:  # the log may be away; the facts stay here until it is back
                _log.warning("outbox.waits", table=self._table.name, error=repr(error))
                await asyncio.sleep(1)
                continue
            if sent is None:  # who relays may have looked for the last time before ours was there
                self.notify()
                await asyncio.sleep(OTHERS_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), IDLE_S)

    def _waiting(self, connection: Connection) -> list[tuple[int, bytes]]:
        table = self._table
        rows = connection.execute(select(table.c.seq, table.c.record).order_by(table.c.seq).limit(BATCH))
        return [(seq, record) for seq, record in rows]

    def _drop(self, sent: list[int], connection: Connection) -> None:
        # Those that were sent, by name: a row with a lower number may have become visible since.
        connection.execute(delete(self._table).where(self._table.c.seq.in_(sent)))
