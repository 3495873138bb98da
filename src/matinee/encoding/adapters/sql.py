"""`JobStore` in SQL: SQLite, MariaDB."""

from __future__ import annotations

from functools import partial
from typing import Self

from sqlalchemy import MetaData

from matinee.drivers.sql import Database
from matinee.drivers.sql_outbox import SqlOutbox, define_outbox_table
from matinee.encoding.api import Job
from matinee.encoding.model.progress import reset_steps, stop_steps
from matinee.mesh.queue.sql import SqlWorkQueue, define_work_table

_metadata = MetaData()
_jobs = define_work_table(_metadata, "encoding_jobs", Job, id_column="job_id", key_column="film_key")
_outbox = define_outbox_table(_metadata, "encoding")


class SqlJobStore(SqlWorkQueue[Job]):
    """Encoding's tables; `outbox` relays its facts."""

    def __init__(self, database: Database) -> None:
        self.outbox = SqlOutbox(database, _outbox)
        on_stop = partial(stop_steps, failed=False)
        super().__init__(database, _jobs, self.outbox, on_stop=on_stop, on_retry=reset_steps)

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Open the store and migrate its tables."""
        await database.migrate("matinee.encoding.adapters:migrations", "encoding")
        return cls(database)
