"""SQLite: reads in a few threads, writes in one that commits together what has queued up.

Each transaction of a group has a savepoint of its own, one fsync is for all of them, and every caller is answered
only after the commit. "Database is locked" cannot reach a caller from its own process; between processes a writer
waits up to `BUSY_MS`.
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
from matinee.drivers.sql_faults import sqlite_problem

T = TypeVar("T")
BUSY_MS = 10_000
PAUSE_S = 0.01
READERS = 4
GROUP_LIMIT = 256
_Waiting: TypeAlias = tuple[Callable[[Connection], Any], Future[Any]]


class Sqlite:
    """One database file: readers in a small pool of threads, one writer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._here = threading.local()
        self._opened: list[Connection] = []
        self._is_closed = False
        self._writer = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)

    async def open(self) -> None:
        """Open the file, made where there is none. Raises sqlalchemy.exc.OperationalError where it cannot be."""
        Path(self._url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._reading = create_sqlite_engine(self._url, begin="BEGIN")
        self._writing = create_sqlite_engine(self._url, begin="BEGIN IMMEDIATE")
        self._write_connection = await asyncio.to_thread(self._writing.connect)
        self._writer.start()
        await self.write(lambda connection: None)

    async def close(self) -> None:
        """Commit what was handed in, then close."""
        self._is_closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        for connection in self._opened:
            connection.close()
        self._reading.dispose()
        self._writing.dispose()

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction in a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, transaction)

    async def read_autocommit(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction in this thread."""
        return self._read(transaction)

    @contextlib.asynccontextmanager
    async def advisory_lock(self, name: str) -> AsyncIterator[bool]:
        """One process of a machine serves a domain that keeps its state here: it is alone."""
        yield True

    def _read(self, transaction: Callable[[Connection], T]) -> T:
        connection: Connection | None = getattr(self._here, "connection", None)
        if connection is None:  # kept for the thread's life: fetching one from a pool costs more than most reads
            connection = self._here.connection = self._reading.connect()
            self._opened.append(connection)
        with connection.begin():
            return transaction(connection)

    async def write(
        self, transaction: Callable[[Connection], T], isolation: str = "", retry_on_conflict: bool = False
    ) -> T:
        """Queue a transaction and return after its commit; nobody else writes meanwhile, so that nobody contests it.

        Raises RuntimeError after `close`: nobody would answer.
        """
        if self._is_closed:
            raise RuntimeError(f"{describe_engine(self._url)} is closed")
        done: Future[T] = Future()
        self._queue.put((transaction, done))
        try:
            return await asyncio.wrap_future(done)
        except OperationalError as error:
            raise (sqlite_problem(error, describe_engine(self._url)) or error) from error

    def _write_loop(self) -> None:
        with self._write_connection as connection:
            while (first := self._queue.get()) is not None:
                group = [first]
                while len(group) < GROUP_LIMIT and not self._queue.empty():
                    if (another := self._queue.get()) is None:
                        self._queue.put(None)
                        break
                    group.append(another)
                _commit_together(connection, group)


def _commit_together(connection: Connection, group: list[_Waiting]) -> None:
    outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
    wanted = [(transaction, done) for transaction, done in group if done.set_running_or_notify_cancel()]
    try:
        with connection.begin() as whole:
            for transaction, done in wanted:
                outcomes.append((done, *_attempt(connection, transaction, alone=len(wanted) == 1)))
            if len(wanted) == 1 and outcomes[0][2] is not None:
                whole.rollback()
    except BaseException as error:  # whatever stopped the commit is each caller's answer
        told = {done: failure for done, _, failure in outcomes}
        outcomes = [(done, None, told.get(done) or error) for _, done in wanted]
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


def create_sqlite_engine(url: str, *, begin: str) -> Engine:
    """An engine whose transactions begin as said; `BEGIN IMMEDIATE` takes the write lock at once."""
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: IMMEDIATE, so that no upgrade of a lock can fail
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "mmap_size=134217728"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.connection.execute(begin)  # sqlite3's own: exec_driver_sql costs five times that

    return engine


def _write_ahead(connection: Any) -> None:
    """Use a write-ahead log. Of those who open a new file at once all but one are refused, whatever their time-out."""
    ends_at = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends_at:
                raise
            time.sleep(PAUSE_S)
