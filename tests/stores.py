"""SQL stores for the tests: where one lies on each engine, and a store opened over and over at the same place."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, Self, TypeVar

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
async def reopening(kind: type[Store], url: str) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """A function that opens the same data again, as another process would; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def opened() -> Store:
            return await kind.open(await stack.enter_async_context(Database(url)))

        yield opened
