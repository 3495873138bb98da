"""SQLite: reads in a few threads, writes in one thread that commits queued transactions together.

Each transaction of a group has its own savepoint. All share one fsync, and every caller gets its result after the
commit. Within a process no caller sees "database is locked"; between processes a writer waits up to `BUSY_MS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from matinee.drivers.engine import describe_engine
from matinee.drivers.sql_faults import to_sqlite_problem

T = TypeVar("T")
BUSY_MS = 10_000
RETRY_S = 0.01
READERS = 4
GROUP_LIMIT = 256
_Write: TypeAlias = tuple[Callable[[Connection], Any], Future[Any]]


class Sqlite:
    """One database file."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._is_closed = False
        self._writer = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)

    async def open(self) -> None:
        """Open the file, and create it where there is none. Raises sqlalchemy.exc.OperationalError."""
        Path(self._url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._reading = create_sqlite_engine(self._url, begin="BEGIN")
        self._writing = create_sqlite_engine(self._url, begin="BEGIN IMMEDIATE")
        self._write_connection = await asyncio.to_thread(self._writing.connect)
        self._writer.start()
        await self.write(lambda connection: None)

    async def close(self) -> None:
        """Commit the queued transactions, then close."""
        self._is_closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        self._reading.dispose()
        self._writing.dispose()

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction in a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, transaction)

    async def read_autocommit(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction in this thread."""
        return self._read(transaction)

    @contextlib.asynccontextmanager
    async def advisory_lock(self, name: str) -> AsyncIterator[bool]:
        """Yield True: a domain whose state is in SQLite has only one process."""
        yield True

    def _read(self, transaction: Callable[[Connection], T]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:  # one per thread: a checkout from a pool costs more than most reads
            connection = self._local.connection = self._reading.connect()
            self._connections.append(connection)
        with connection.begin():
            return transaction(connection)

    async def write(
        self, transaction: Callable[[Connection], T], isolation: str = "", retry_on_conflict: bool = False
    ) -> T:
        """Queue a transaction and return after its commit. There is one writer, and so there are no conflicts.

        Raises RuntimeError after `close`, when no thread would answer.
        """
        if self._is_closed:
            raise RuntimeError(f"{describe_engine(self._url)} is closed")
        answer: Future[T] = Future()
        self._queue.put((transaction, answer))
        try:
            return await asyncio.wrap_future(answer)
        except OperationalError as error:
            raise (to_sqlite_problem(error, describe_engine(self._url)) or error) from error

    def _write_loop(self) -> None:
        with self._write_connection as connection:
            while (first := self._queue.get()) is not None:
                group = [first]
                while len(group) < GROUP_LIMIT and not self._queue.empty():
                    if (another := self._queue.get()) is None:
                        self._queue.put(None)
                        break
                    group.append(another)
                _commit_group(connection, group)


def _commit_group(connection: Connection, group: list[_Write]) -> None:
    outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
    group = [write for write in group if write[1].set_running_or_notify_cancel()]
    is_single = len(group) == 1
    try:
        with connection.begin() as outer:
            for transaction, answer in group:
                outcomes.append((answer, *_attempt(connection, transaction, is_single=is_single)))
            if is_single and outcomes[0][2] is not None:
                outer.rollback()
    except BaseException as error:  # the commit failed: each caller gets its error
        failures = {answer: failure for answer, _, failure in outcomes}
        outcomes = [(answer, None, failures.get(answer) or error) for _, answer in group]
    for answer, result, failure in outcomes:
        if failure is None:
            answer.set_result(result)
        else:
            answer.set_exception(failure)


def _attempt(
    connection: Connection, transaction: Callable[[Connection], Any], *, is_single: bool
) -> tuple[Any, BaseException | None]:
    try:
        if is_single:
            return transaction(connection), None
        with connection.begin_nested():
            return transaction(connection), None
    except BaseException as error:  # returned to the caller
        return None, error


def create_sqlite_engine(url: str, *, begin: str) -> Engine:
    """Create an engine whose transactions start with `begin`: `BEGIN IMMEDIATE` takes the write lock at once."""
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = (
            None  # `begin_transaction` sends BEGIN: an immediate one never has to upgrade its lock
        )
        _enable_write_ahead_log(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "mmap_size=134217728"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.connection.execute(begin)  # by sqlite3: exec_driver_sql costs five times as much

    return engine


def _enable_write_ahead_log(connection: Any) -> None:
    """Retry while the file is busy: if several processes open a new file at once, all but one fail immediately."""
    ends_at = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends_at:
                raise
            time.sleep(RETRY_S)
