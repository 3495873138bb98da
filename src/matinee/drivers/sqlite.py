"""SQLite: reads in a few threads, writes in one thread that commits queued transactions together.

All transactions of a group share one fsync, and every caller gets its result after the commit. Where one of them
fails, all are run once more, so that it affects no other. A caller that is not in a hurry lets the group wait for
others. Within a process no caller sees "database is locked"; between processes a writer waits up to `BUSY_MS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

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
# A change costs the write of whole pages: small ones suit stores of short rows of which a few change at a time.
PAGE_BYTES, SMALL_PAGE_BYTES = 4096, 1024
# At this size the write-ahead log is copied into the file: a page that changed often is copied once.
LOG_BYTES = 4 << 20
# A group of this size waits for no others: many callers at once would only wait for one another.
BURST = 16
MOST_SKIPS = 127


class _Write(NamedTuple):
    """A transaction, the future with its result, and by when it is committed."""

    transaction: Callable[[Connection], Any]
    answer: Future[Any]
    due_s: float


# The result of a transaction, or its error.
_Outcome: TypeAlias = tuple[Any, BaseException | None]


class GatherRule:
    """Decides whether a group waits for others: not where it waited in vain, for ever more groups.

    So a caller that writes one by one hardly ever waits.
    """

    def __init__(self) -> None:
        self._to_skip, self._skips, self._is_waiting = 0, 0, False

    def limit(self, due_s: float) -> float:
        """Return until when a group waits whose first transaction is due then."""
        is_urgent = due_s <= time.monotonic()
        self._is_waiting = not is_urgent and not self._to_skip
        if not is_urgent and self._to_skip:
            self._to_skip -= 1
        return due_s if self._is_waiting else 0.0

    def learn(self, size: int) -> None:
        """Learn how large the group was."""
        if self._is_waiting:
            self._skips = 0 if size > 1 else min(MOST_SKIPS, 2 * self._skips + 1)
            self._to_skip = self._skips


class Sqlite:
    """One database file; `page_bytes` is the size of its pages, if it is new."""

    def __init__(self, url: str, *, page_bytes: int = PAGE_BYTES) -> None:
        self._url = url
        self._page_bytes = page_bytes
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._is_closed = False
        self._rule = GatherRule()
        self._writer = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)

    async def open(self) -> None:
        """Open the file, and create it where there is none. Raises sqlalchemy.exc.OperationalError."""
        Path(self._url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._autocommit = create_sqlite_engine(self._url, begin="", page_bytes=self._page_bytes)
        self._reading = create_sqlite_engine(self._url, begin="BEGIN", page_bytes=self._page_bytes)
        self._writing = create_sqlite_engine(self._url, begin="BEGIN IMMEDIATE", page_bytes=self._page_bytes)
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
        self._autocommit.dispose()
        self._reading.dispose()
        self._writing.dispose()

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction in a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, transaction)

    async def read_autocommit(self, transaction: Callable[[Connection], T]) -> T:
        """Run statements in this thread, each for itself: BEGIN and COMMIT cost as much as reading a row."""
        connection: Connection | None = getattr(self._local, "autocommit", None)
        if connection is None:
            connection = self._local.autocommit = self._autocommit.connect()
            self._connections.append(connection)
        try:
            return transaction(connection)
        finally:
            connection.rollback()  # ends what SQLAlchemy takes for a transaction

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
        self,
        transaction: Callable[[Connection], T],
        isolation: str = "",
        retry_on_conflict: bool = False,
        gather_s: float = 0.0,
    ) -> T:
        """Queue a transaction and return after its commit. There is one writer, and so there are no conflicts.

        For `gather_s` it waits for others, to share their commit. Raises RuntimeError after `close`, when no thread
        would answer.
        """
        if self._is_closed:
            raise RuntimeError(f"{describe_engine(self._url)} is closed")
        answer: Future[T] = Future()
        self._queue.put(_Write(transaction, answer, time.monotonic() + gather_s))
        try:
            return await asyncio.wrap_future(answer)
        except OperationalError as error:
            raise (to_sqlite_problem(error, describe_engine(self._url)) or error) from error

    def _write_loop(self) -> None:
        with self._write_connection as connection:
            while (first := self._queue.get()) is not None:
                _commit_group(connection, self._gather(first))

    def _gather(self, first: _Write) -> list[_Write]:
        """Return a transaction with those that are queued until one of them is due, or until there is a burst."""
        group = [first]
        due_s = self._rule.limit(first.due_s)
        while len(group) < GROUP_LIMIT:
            wait_s = due_s - time.monotonic() if len(group) < BURST else 0.0
            try:
                another = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if another is None:
                self._queue.put(None)
                break
            group.append(another)
            due_s = min(due_s, another.due_s)
        self._rule.learn(len(group))
        return group


def _commit_group(connection: Connection, group: list[_Write]) -> None:
    """Commit transactions together. Where one fails, all are run once more, each with a savepoint of its own."""
    group = [write for write in group if write.answer.set_running_or_notify_cancel()]
    outcomes: list[_Outcome] = []
    try:
        try:
            with connection.begin():
                outcomes = _run_all(connection, group)
        except _OneFailed:
            with connection.begin():
                outcomes = [_attempt(connection, write.transaction) for write in group]
    except BaseException as error:  # the only transaction or the commit failed: each caller gets its error
        failures = [failure for _, failure in outcomes] or [None] * len(group)
        outcomes = [(None, failure or error) for failure in failures]
    for write, (result, failure) in zip(group, outcomes, strict=True):
        if failure is None:
            write.answer.set_result(result)
        else:
            write.answer.set_exception(failure)


class _OneFailed(Exception):
    """A transaction of a group has failed."""


def _run_all(connection: Connection, group: Sequence[_Write]) -> list[_Outcome]:
    try:
        return [(write.transaction(connection), None) for write in group]
    except BaseException as error:
        if len(group) > 1:
            raise _OneFailed from error
        raise


def _attempt(connection: Connection, transaction: Callable[[Connection], Any]) -> _Outcome:
    try:
        with connection.begin_nested():
            return transaction(connection), None
    except BaseException as error:  # returned to the caller
        return None, error


def create_sqlite_engine(url: str, *, begin: str, page_bytes: int = PAGE_BYTES) -> Engine:
    """Create an engine whose transactions start with `begin`: `BEGIN IMMEDIATE` takes the write lock at once.

    Without it each statement is a transaction of its own.
    """
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
        connection.execute(f"PRAGMA page_size={page_bytes}")
        _enable_write_ahead_log(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "mmap_size=134217728"):
            connection.execute(f"PRAGMA {pragma}")
        (actual_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_BYTES // actual_bytes}")

    def begin_transaction(connection: Connection) -> None:
        connection.connection.execute(begin)  # by sqlite3: exec_driver_sql costs five times as much

    if begin:
        event.listen(engine, "begin", begin_transaction)
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
