"""SQL stores for the tests: where one lies on each engine, and a store opened over and over at the same place."""

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
from tests.engines import engine

from matinee.drivers.sql import Database

# The engines of every SQL store, as parameters of a suite.
SQL = ("sqlite", "mariadb")
_numbers = itertools.count()


class _Store(Protocol):
    @classmethod
    async def open(cls, database: Database) -> Self: ...


Store = TypeVar("Store", bound=_Store)


def place(engine_name: str, folder: Path, name: str) -> str:
    """The URL of a database that nobody has used."""
    if engine_name == "sqlite":
        return f"sqlite:///{folder}/{name}{next(_numbers)}.db"
    return engine(engine_name).url(name)


@contextlib.asynccontextmanager
async def reopening(
    kind: type[Store], url: str, *, emptied: bool = False
) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """A function that opens the same data again, as another process would; all are closed at the end.

    `emptied`: of what was there nothing stays, which is quicker than tables that are made anew.
    """
    async with AsyncExitStack() as stack:

        async def opened() -> Store:
            return await kind.open(await stack.enter_async_context(Database(url)))

        if emptied:
            async with Database(url) as database:
                await kind.open(database)
                await database.write(_empty)
        yield opened


def _empty(connection: Connection) -> None:
    for table in inspect(connection).get_table_names():
        if not table.endswith(("_version", "_revision")):
            connection.execute(text(f"DELETE FROM {table}"))


def process(file: str, *words: str) -> subprocess.Popen[str]:
    """Run a test's own file as a program."""
    root = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, file, *words], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    )
