"""SQL by SQLAlchemy Core: SQLite in threads of our own, MariaDB and MySQL through their async driver.

A transaction is a plain function of a `Connection`; it runs whole, in one hop, wherever its engine lives.
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

from matinee.drivers.engine import EngineReadOnly, StoreFull, describe_engine
from matinee.drivers.migrations import MigrationScripts, read_revision, run_on_store, upgrade
from matinee.drivers.sqlite import Sqlite
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.problem import Problem

if TYPE_CHECKING:
    from matinee.drivers.mariadb import MariaDB

T = TypeVar("T")
# A write that was refused says nothing of now when it is as old as this.
REFUSED_S = 60.0
Isolation: TypeAlias = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class UtcTime(TypeDecorator[datetime]):
    """A UTC time, kept as milliseconds since 1970 so that every engine compares it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_ms(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_ms(value)


class JsonBytes(TypeDecorator[Any]):
    """A msgspec value, kept as JSON bytes; `JsonBytes(list[Artwork])`."""

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
    """One engine's tables. `read` and `write` run a function of a `Connection` in a transaction.

    Use as `async with Database(url) as db:`; `url` is `sqlite:///…` or `mysql+asyncmy://…`. `backups`: where a copy
    goes before a migration changes what is there; without it SQLite's lie beside its file, and MariaDB has none.
    A transaction may run several times before it is kept: it must change nothing but the database. All methods raise
    EngineUnavailable, EngineReadOnly, StoreFull.
    """

    def __init__(self, url: str, *, backups: Path | None = None) -> None:
        self.url = url
        self._backups = backups
        self._back: Sqlite | MariaDB = Sqlite(url) if url.startswith("sqlite:") else _mariadb(url)
        self._schemas: dict[str, MigrationScripts] = {}
        self._refused: tuple[Problem, float] | None = None

    @property
    def engine(self) -> str:
        """The engine and where it is."""
        return describe_engine(self.url)

    async def check(self) -> None:
        """Ask for every schema's revision. Raises what all methods raise, StoreEmpty, SchemaAhead.

        That it is full or takes no writes is known from the last write: it is so until one is taken, or long ago.
        """
        for name, chain in self._schemas.items():
            chain.check(name, await self.read_autocommit(partial(read_revision, name)))
        if self._refused is not None and time.monotonic() < self._refused[1] + REFUSED_S:
            raise self._refused[0]

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction that changes nothing; all it reads is of one moment."""
        return await self._back.read(transaction)

    async def read_autocommit(self, transaction: Callable[[Connection], T]) -> T:
        """Like `read`, for look-ups by key that touch few pages, which need not be of one moment.

        SQLite answers them at once, in this very thread: a hop to another and back costs several times what such a
        look-up does. MariaDB is asked for each statement alone, without the round trips of a transaction.
        """
        return await self._back.read_autocommit(transaction)

    async def write(
        self,
        transaction: Callable[[Connection], T],
        *,
        isolation: Isolation = "READ COMMITTED",
        retry_on_conflict: bool = False,
    ) -> T:
        """Run a transaction and return after its commit; an exception inside rolls it back.

        It runs again, whole, after a deadlock or a lost connection; with `retry_on_conflict` also where a row that it adds was
        added by somebody else first (it looks before it adds). SQLite's are serialisable, whatever `isolation` says.
        """
        try:
            result = await self._back.write(transaction, isolation, retry_on_conflict)
        except (EngineReadOnly, StoreFull) as trouble:
            self._refused = trouble, time.monotonic()
            raise
        self._refused = None
        return result

    def advisory_lock(self, name: str) -> AbstractAsyncContextManager[bool]:
        """A context that tells whether nobody else is in it: what several instances could do, and one should."""
        return self._back.advisory_lock(name)

    async def migrate(self, scripts: str, name: str) -> None:
        """Bring the schema to the newest version in a folder of Alembic scripts (`package:folder`).

        `<name>_version` keeps it. Any number of processes may do so at once. Raises SchemaAhead.
        """
        chain = MigrationScripts.load(scripts)
        if await self.read_autocommit(partial(read_revision, name)) != chain.newest:
            work = partial(upgrade, scripts=chain, name=name)
            await asyncio.to_thread(run_on_store, self.url, work, self._backups)
        self._schemas[name] = chain

    async def __aenter__(self) -> Database:
        await self._back.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._back.close()


def _mariadb(url: str) -> MariaDB:
    # Imported here, because the embedded deployment has no use for it.
    from matinee.drivers.mariadb import MariaDB

    return MariaDB(url)
