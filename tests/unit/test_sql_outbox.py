"""The outbox: what is put is relayed, whatever order transactions end in."""

from pathlib import Path

from sqlalchemy import MetaData, insert

from matinee.drivers.sql import Database
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table


async def test_a_record_numbered_early_and_committed_late_is_relayed_too(tmp_path: Path) -> None:
    # Engines with many writers hand out numbers when a row is put, and show rows when their transaction ends.
    metadata = MetaData()
    table = define_outbox_table(metadata, "test")
    async with Database(f"sqlite:///{tmp_path}/outbox.db") as database:
        outbox = SqlOutbox(database, table)
        await database.write(metadata.create_all)
        await database.write(lambda connection: connection.execute(insert(table), {"seq": 2, "record": b"early"}))
        seen: list[bytes] = []

        async def append(records: list[bytes]) -> None:
            seen.extend(records)
            if len(seen) == 1:
                late = insert(table).values(seq=1, record=b"late")
                await database.write(lambda connection: connection.execute(late))

        assert await outbox.relay(append) == 2
        assert seen == [b"early", b"late"]
