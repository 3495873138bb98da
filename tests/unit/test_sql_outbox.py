"""The outbox in SQL."""

import asyncio
from pathlib import Path

from sqlalchemy import MetaData, insert

from matinee.drivers.sql import Database
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table


async def test_record_committed_after_one_with_a_higher_number_is_relayed(tmp_path: Path) -> None:
    # An engine with several writers numbers rows at the insert, and shows them after the commit.
    metadata = MetaData()
    table = define_outbox_table(metadata, "test")
    async with Database(f"sqlite:///{tmp_path}/outbox.db") as database:
        outbox = SqlOutbox(database, table)
        await database.write(metadata.create_all)
        await database.write(lambda connection: connection.execute(insert(table), {"seq": 2, "record": b"early"}))
        appended: list[bytes] = []

        async def append(records: list[bytes]) -> None:
            appended.extend(records)
            if len(appended) == 1:
                late = insert(table).values(seq=1, record=b"late")
                await database.write(lambda connection: connection.execute(late))

        assert [await outbox.relay(append), await outbox.relay(append)] == [1, 1]
        assert appended == [b"early", b"late"]


async def test_facts_that_are_not_urgent_are_relayed_as_one_batch(tmp_path: Path) -> None:
    metadata = MetaData()
    table = define_outbox_table(metadata, "test")
    async with Database(f"sqlite:///{tmp_path}/outbox.db") as database:
        outbox = SqlOutbox(database, table)
        await database.write(metadata.create_all)
        batches: asyncio.Queue[list[bytes]] = asyncio.Queue()

        async def put(record: bytes, within_s: float) -> None:
            await database.write(lambda connection: outbox.put(connection, [record]))
            outbox.notify(within_s=within_s)

        relaying = asyncio.create_task(outbox.run(batches.put))
        await put(b"urgent", 0)
        assert await batches.get() == [b"urgent"]
        await put(b"first", 60)
        await put(b"second", 60)
        await put(b"urgent", 0)
        assert await batches.get() == [b"first", b"second", b"urgent"]
        relaying.cancel()
