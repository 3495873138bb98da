"""SQL by SQLAlchemy Core: SQLite in threads of our own, other engines through their async driver.

A transaction is a plain function of a `Connection`; it runs whole, in one hop, wherever its engine lives.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import BigInteger, Connection, Dialect, LargeBinary, exc
from sqlalchemy.types import TypeDecorator

from matinee.drivers.engine import StoreFull
from matinee.drivers.sqlite import Sqlite
from matinee.kit.clock import from_ms, to_ms

T = TypeVar("T")


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
        self._back: Sqlite | _Remote = Sqlite(url) if url.startswith("sqlite:") else _Remote(url)

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction that changes nothing."""
        return await self._back.read(transaction)

    async def look(self, transaction: Callable[[Connection], T]) -> T:
        """Like `read`, for look-ups by key that touch few pages: SQLite answers them at once, in this very thread.

        A hop to another thread and back costs several times what such a look-up does.
        """
        return await self._back.look(transaction)

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

        # Imported here and below, because a process that only reads should not take a second to start.
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext
        from alembic.script import ScriptDirectory

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


class _Remote:
    """Any other engine, through its async driver."""

    def __init__(self, url: str) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        self._engine = create_async_engine(url, pool_pre_ping=True)

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

    look = read
