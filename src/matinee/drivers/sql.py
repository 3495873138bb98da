"""SQL through SQLAlchemy Core: SQLite in our own threads, MariaDB and MySQL through their async driver.

A transaction is a synchronous function of a `Connection`. It runs in a thread for SQLite, in a greenlet for MariaDB.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import msgspec
from sqlalchemy import BigInteger, Connection, Dialect, LargeBinary
from sqlalchemy.types import TypeDecorator

from matinee.drivers.engine import EngineReadOnly, StoreFull, describe_engine, to_operation
from matinee.drivers.migrations import MigrationScripts, read_revision, run_on_store, upgrade
from matinee.drivers.sqlite import PAGE_BYTES, Sqlite
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.context import traced
from matinee.kit.problem import Problem

if TYPE_CHECKING:
    from matinee.drivers.mariadb import MariaDB

T = TypeVar("T")
# `check` reports a refused write for this long, unless a later write succeeds.
REFUSAL_S = 60.0
Isolation: TypeAlias = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class UtcTime(TypeDecorator[datetime]):
    """A UTC time, stored as milliseconds since 1970 so that it compares alike on every engine."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_ms(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_ms(value)


class JsonBytes(TypeDecorator[Any]):
    """A msgspec value, stored as JSON bytes: `JsonBytes(list[Artwork])`."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, kind: Any, length: int | None = None) -> None:
        super().__init__(length)
        self.kind = kind
        self._decoder = msgspec.json.Decoder(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        return None if value is None else msgspec.json.encode(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> Any:
        return None if value is None else self._decoder.decode(value)


class Database:
    """A database: `read` and `write` run a function of a `Connection` in a transaction.

    Use as `async with Database(url) as database:`; `url` is `sqlite:///…` or `mysql+asyncmy://…`. `backups` is the
    folder of the backups made before migrations; without it SQLite's are beside its file, and MariaDB has none.
    `page_bytes` is the size of the pages of a new SQLite file.
    A transaction may run several times before it is committed: it must change nothing outside the database. All
    methods raise EngineUnavailable, EngineReadOnly, StoreFull.
    """

    def __init__(self, url: str, *, backups: Path | None = None, page_bytes: int = PAGE_BYTES) -> None:
        self.url = url
        self._backups = backups
        is_sqlite = url.startswith("sqlite:")
        self._backend: Sqlite | MariaDB = Sqlite(url, page_bytes=page_bytes) if is_sqlite else _create_mariadb(url)
        self._schemas: dict[str, MigrationScripts] = {}
        self._refusal: tuple[Problem, float] | None = None
        self._reading, self._writing = (to_operation(self.engine, name) for name in ("read", "write"))

    @property
    def engine(self) -> str:
        """The engine's kind and location."""
        return describe_engine(self.url)

    async def check(self) -> None:
        """Read the revision of every schema. Raises StoreEmpty and SchemaAhead as well.

        A full or read-only engine is known from the last write.
        """
        for name, scripts in self._schemas.items():
            scripts.check(name, await self.read_autocommit(partial(read_revision, name)))
        if self._refusal is not None and time.monotonic() < self._refusal[1] + REFUSAL_S:
            raise self._refusal[0]

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction that changes nothing, on one snapshot."""
        with traced(self._reading, transaction):
            return await self._backend.read(transaction)

    async def read_autocommit(self, transaction: Callable[[Connection], T]) -> T:
        """Run statements that read few rows by key, without a common snapshot.

        SQLite runs them in this thread: a change of threads costs several times as much. On MariaDB it saves the round
        trips of a transaction.
        """
        with traced(self._reading, transaction):
            return await self._backend.read_autocommit(transaction)

    async def write(
        self,
        transaction: Callable[[Connection], T],
        *,
        isolation: Isolation = "READ COMMITTED",
        retry_on_conflict: bool = False,
        gather_s: float = 0.0,
    ) -> T:
        """Run a transaction and return after its commit; an exception rolls it back.

        It is retried after a deadlock or a lost connection, and with `retry_on_conflict` also where another
        transaction has inserted the same key first. SQLite is serialisable, whatever `isolation` says, and lets it wait
        for others for `gather_s`, to share their commit.
        """
        try:
            with traced(self._writing, transaction):
                result = await self._backend.write(transaction, isolation, retry_on_conflict, gather_s)
        except (EngineReadOnly, StoreFull) as problem:
            self._refusal = problem, time.monotonic()
            raise
        self._refusal = None
        return result

    def advisory_lock(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Return a context that yields whether the lock was free, for work that one of several instances does."""
        return self._backend.advisory_lock(name)

    async def migrate(self, scripts: str, name: str) -> None:
        """Upgrade a schema to the newest revision in a folder of Alembic scripts (`package:folder`).

        The table `<name>_version` stores the revision. Several processes may migrate at once. Raises SchemaAhead.
        """
        loaded = MigrationScripts.load(scripts)
        if await self.read_autocommit(partial(read_revision, name)) != loaded.newest:
            work = partial(upgrade, scripts=loaded, name=name)
            await asyncio.to_thread(run_on_store, self.url, work, self._backups)
        self._schemas[name] = loaded

    async def __aenter__(self) -> Database:
        await self._backend.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._backend.close()


def _create_mariadb(url: str) -> MariaDB:
    # Imported here, because the embedded deployment does not need it.
    from matinee.drivers.mariadb import MariaDB

    return MariaDB(url)
