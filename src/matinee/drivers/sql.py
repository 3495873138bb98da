"""SQL by SQLAlchemy Core: SQLite in threads of our own, other engines through their async driver.

A transaction is a plain function of a `Connection`; it runs whole, in one hop, wherever its engine lives.

SQLite writes go through one writer thread that commits what has queued up together: each transaction in a
savepoint of its own, one fsync for all of them, every caller answered only after the commit. "Database is
locked" cannot reach a caller from its own process, and between processes waits up to `BUSY_MS`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Connection, Dialect, Engine, LargeBinary, create_engine, event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

from matinee.kit.clock import from_ms, to_ms
from matinee.kit.problem import Problem

T = TypeVar("T")
BUSY_MS = 10_000
READERS = 4
GROUP_LIMIT = 256


class StoreFull(Problem, status=507):
    """The disk that holds this store is full."""


class UtcTime(TypeDecorator[datetime]):
    """A UTC time, kept as milliseconds since 1970 so that every engine compares it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_ms(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_ms(value)


class Packed(TypeDecorator[Any]):
    """A msgspec value, kept as JSON bytes; `Packed(list[Artwork])`."""

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

    Use as `async with Database(url) as db:`; `url` is `sqlite:///…` or any async SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._back: _Threads | _Remote = _Threads(url) if url.startswith("sqlite:") else _Remote(url)

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction that changes nothing."""
        return await self._back.read(transaction)

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction and return after its commit. Raises StoreFull; an exception inside rolls it back."""
        try:
            return await self._back.write(transaction)
        except exc.OperationalError as error:
            if "disk is full" in str(error) or "disk I/O" in str(error):
                raise StoreFull(detail="The disk is full: free some room, then try again.") from error
            raise

    async def migrate(self, scripts: str, name: str) -> None:
        """Bring the schema to the newest version in an Alembic folder (`package:folder`); `<name>_version` keeps it."""

        def upgrade(connection: Connection) -> None:
            config = Config()
            config.set_main_option("script_location", scripts)
            script = ScriptDirectory.from_config(config)
            with EnvironmentContext(config, script, fn=lambda at, _: script._upgrade_revs("head", at)) as environment:
                environment.configure(connection=connection, version_table=f"{name}_version", transactional_ddl=False)
                environment.run_migrations()

        await self.write(upgrade)

    async def __aenter__(self) -> Database:
        await self._back.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._back.close()


class _Threads:
    """SQLite: readers in a small pool, one writer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._queue: queue.SimpleQueue[tuple[Callable[[Connection], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)

    async def open(self) -> None:
        Path(self._url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._reading = _sqlite(self._url, writer=False)
        self._writing = _sqlite(self._url, writer=True)
        self._writer.start()
        await self.write(lambda connection: None)

    async def close(self) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        self._reading.dispose()
        self._writing.dispose()

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, transaction)

    def _read(self, transaction: Callable[[Connection], T]) -> T:
        with self._reading.connect() as connection:
            return transaction(connection)

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        done: Future[T] = Future()
        self._queue.put((transaction, done))
        return await asyncio.wrap_future(done)

    def _write_loop(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            while len(group) < GROUP_LIMIT and not self._queue.empty():
                if (another := self._queue.get()) is None:
                    self._queue.put(None)
                    break
                group.append(another)
            self._commit_together(group)

    def _commit_together(self, group: list[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._writing.begin() as connection:
                for transaction, done in group:
                    if done.set_running_or_notify_cancel():
                        outcomes.append((done, *_attempt(connection, transaction, alone=len(group) == 1)))
                if len(group) == 1 and outcomes and outcomes[0][2] is not None:
                    connection.rollback()
        except BaseException as error:  # whatever stopped the commit is each caller's answer
            outcomes = [(done, None, failure or error) for done, _, failure in outcomes]
            started = {done for done, _, _ in outcomes}
            outcomes += [(done, None, error) for _, done in group if done not in started and not done.cancelled()]
        for done, result, failure in outcomes:
            if failure is None:
                done.set_result(result)
            else:
                done.set_exception(failure)


def _attempt(
    connection: Connection, transaction: Callable[[Connection], Any], *, alone: bool
) -> tuple[Any, BaseException | None]:
    try:
        if alone:
            return transaction(connection), None
        with connection.begin_nested():
            return transaction(connection), None
    except BaseException as error:  # handed to the caller who asked
        return None, error


def _sqlite(url: str, *, writer: bool) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1 if writer else READERS,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: IMMEDIATE, so that no upgrade of a lock can fail
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "mmap_size=134217728"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


class _Remote:
    """Any other engine, through its async driver."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url, pool_pre_ping=True)

    async def open(self) -> None:
        async with self._engine.connect():
            pass

    async def close(self) -> None:
        await self._engine.dispose()

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            return await connection.run_sync(transaction)

    async def write(self, transaction: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(transaction)
