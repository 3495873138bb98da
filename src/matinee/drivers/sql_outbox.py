"""The outbox in SQL: facts stored in the transaction of the state that they describe."""

from __future__ import annotations

import asyncio
from functools import partial

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, delete, insert, select

from matinee.drivers.outbox import BATCH, Append, RelayLoop, relay_batches
from matinee.drivers.sql import Database

OTHERS_S = 0.25
# Deleting what was relayed is not urgent: it shares the commit of the next facts.
GATHER_S = 1.0


def define_outbox_table(metadata: MetaData, domain: str) -> Table:
    """Define `<domain>_outbox(seq, record)`; a record is an encoded `events.api.FactRecord`."""
    return Table(
        f"{domain}_outbox",
        metadata,
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("record", LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )


class SqlOutbox:
    """A domain's facts. An advisory lock lets one instance relay at a time; two would send facts out of order."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        # Building a statement costs more than reading an empty table.
        self._select_batch = select(table.c.seq, table.c.record).order_by(table.c.seq).limit(BATCH)
        self._loop = RelayLoop(table.name)

    def put(self, connection: Connection, records: list[bytes]) -> None:
        """Store records in the transaction of the state."""
        if records:
            connection.execute(insert(self._table), [{"record": record} for record in records])

    def notify(self, *, within_s: float = 0.0) -> None:
        """Relay soon: call it after the commit."""
        self._loop.notify(within_s=within_s)

    async def relay(self, append: Append) -> int:
        """Append all facts to the log and return their number: none while another instance relays."""
        return await self._relay_locked(append) or 0

    async def run(self, append: Append) -> None:
        """Relay after each notification, and every few seconds, until cancelled."""
        await self._loop.run(lambda: self._relay_or_wait(append))

    async def _relay_or_wait(self, append: Append) -> None:
        if await self._relay_locked(append, gather_s=GATHER_S) is None:
            # The instance that relays may have read the table for the last time before our fact was committed.
            await asyncio.sleep(OTHERS_S)
            self.notify()

    async def _relay_locked(self, append: Append, *, gather_s: float = 0.0) -> int | None:
        async with self._database.advisory_lock(self._table.name) as is_ours:
            delete = partial(self._delete, gather_s=gather_s)
            return await relay_batches(append, read=self._read, delete=delete) if is_ours else None

    async def _read(self) -> list[tuple[int, bytes]]:
        return await self._database.read(self._select)

    async def _delete(self, sent: list[int], *, gather_s: float) -> None:
        await self._database.write(partial(self._delete_rows, sent), gather_s=gather_s)

    def _select(self, connection: Connection) -> list[tuple[int, bytes]]:
        return [(seq, record) for seq, record in connection.execute(self._select_batch)]

    def _delete_rows(self, sent: list[int], connection: Connection) -> None:
        # Deleted one by one, not up to a number: a lower number may have been committed after the read.
        connection.execute(delete(self._table).where(self._table.c.seq.in_(sent)))
