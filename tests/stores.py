"""Stores for the tests, in SQL and in Redis: a new URL on each engine, and openers of a store at a URL."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, Self, TypeVar

from sqlalchemy import Connection, inspect, text
from tests.engines import shared_engine

from matinee.drivers.redis import Redis
from matinee.drivers.sql import Database

# The engines of SQL stores, as parameters of a suite, and of stores that also have an adapter for Redis.
SQL = ("sqlite", "mariadb")
SQL_OR_REDIS = (*SQL, "redis")
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


def start_python(file: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a test's own file as a program, with the imports of this process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    return subprocess.Popen([sys.executable, file, *arguments], stdout=subprocess.PIPE, text=True, env=environment)
