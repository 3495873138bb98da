"""Stores for the tests, in SQL and in Redis: a new URL on each engine, and openers of a store at a URL."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import runpy
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing import connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Protocol, Self, TypeVar

import pytest
from sqlalchemy import Connection, inspect, text
from tests.engines import shared_engine

from matinee.drivers.redis import Redis
from matinee.drivers.sql import Database

# The engines of SQL stores, as parameters of a suite, and of stores that also have an adapter for Redis.
SQL = ("sqlite", "mariadb")
SQL_OR_REDIS = (*SQL, "redis")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "hypothesis.strategies",
        "pytest",
        "tests.stores",
        "matinee.identity.adapters.sql",
        "matinee.identity.adapters.redis",
        "matinee.licensing.adapters.sql",
        "matinee.licensing.service",
        "matinee.drivers.migrations",
    ]
)
_numbers = itertools.count()


class _Store(Protocol):
    @classmethod
    async def open(cls, database: Database) -> Self: ...


class _RedisStore(Protocol):
    @classmethod
    async def open(cls, redis: Redis) -> Self: ...


Store = TypeVar("Store", bound=_Store)
RedisStore = TypeVar("RedisStore", bound=_RedisStore)


def database_url(engine_name: str, folder: Path, name: str) -> str:
    """Return the URL of a new database."""
    if engine_name == "sqlite":
        return f"sqlite:///{folder}/{name}{next(_numbers)}.db"
    return shared_engine(engine_name).url(name)


@contextlib.asynccontextmanager
async def store_opener(
    kind: type[Store], url: str, *, clear: bool = False
) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Yield a function that opens a store on the same data, as another process would; all are closed at the end.

    `clear` deletes the rows first, which is faster than creating the tables again.
    """
    async with AsyncExitStack() as stack:

        async def open_store() -> Store:
            return await kind.open(await stack.enter_async_context(Database(url)))

        if clear:
            async with Database(url) as database:
                await kind.open(database)
                await database.write(_delete_rows)
        yield open_store


@contextlib.asynccontextmanager
async def sql_or_redis_opener(
    sql: type[Store], redis: type[RedisStore], url: str
) -> AsyncIterator[Callable[[], Awaitable[Store | RedisStore]]]:
    """Yield a function that opens a store in SQL or in Redis, as the URL says."""
    async with AsyncExitStack() as stack:

        async def open_store() -> Store | RedisStore:
            if url.startswith("redis:"):
                return await redis.open(await stack.enter_async_context(Redis(url)))
            return await sql.open(await stack.enter_async_context(Database(url)))

        yield open_store


def _delete_rows(connection: Connection) -> None:
    for table in inspect(connection).get_table_names():
        if not table.endswith(("_version", "_revision")):
            connection.execute(text(f"DELETE FROM {table}"))


class Program:
    """A test's own file that runs as a program. `stdout` is its output."""

    def __init__(self, file: str, *arguments: str) -> None:
        reader, writer = FORKS.Pipe(duplex=False)
        with reader, writer:
            self.stdout = os.fdopen(os.dup(reader.fileno()))  # closed by `communicate`
            self._process = FORKS.Process(target=_run_program, args=(file, arguments, writer), daemon=True)
            self._process.start()

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self._process.kill()

    def communicate(self) -> str:
        """Wait for its end and return the rest of its output."""
        with self.stdout:
            rest = self.stdout.read()
        self._process.join()
        return rest


def start_python(file: str, *arguments: str) -> Program:
    """Start a test's own file as a program, forked from a process that has imported most of what it needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]))
        ensure_running()
    return Program(file, *arguments)


def _run_program(file: str, arguments: tuple[str, ...], output: connection.Connection) -> None:
    os.dup2(output.fileno(), 1)
    output.close()
    sys.stdout = os.fdopen(1, "w")  # open until the process ends
    sys.argv = [file, *arguments]
    runpy.run_path(file, run_name="__main__")
    sys.stdout.flush()
