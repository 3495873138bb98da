"""MariaDB and MySQL through asyncmy.

A transaction is one greenlet: BEGIN with its isolation level in one round trip, its statements as prepared ones, its
COMMIT. A `look` is its statements alone. Connections are kept by us: SQLAlchemy's own pool costs more than a look-up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, exc, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.asyncmy import MySQLDialect_asyncmy
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler, MySQLTypeCompiler
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only, greenlet_spawn

from matinee.drivers.engine import EngineUnavailable, WrongVersion, describe_engine
from matinee.drivers.sql_faults import Fault, fault_of, is_lost
from matinee.kit import context, log

T = TypeVar("T")
OLDEST: Final = {"MariaDB": (10, 6), "MySQL": (8, 0, 17)}
# At most so many connections to each store; what is beyond waits for one.
CONNECTIONS = 8
CONNECT_S = 5.0
# One transaction with all its retries, where the request has no deadline of its own.
TRANSACTION_S = 15.0
LOCK_WAIT_S = 3
TRIES = 10
# A connection that has lain idle for so long may have been dropped by something on the way: it is asked first.
IDLE_S = 60.0
STATEMENTS = 64
_IN_TRANSACTION = 1
_SESSION = (
    "SET SESSION sql_mode='TRADITIONAL,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', "
    f"innodb_lock_wait_timeout={LOCK_WAIT_S}, time_zone='+00:00'"
)
_log = log.get()


class _Types(MySQLTypeCompiler):
    def visit_large_binary(self, type_: Any, **kw: Any) -> str:
        """A BLOB holds 64 KiB, which SQLite's does not know of."""
        return "MEDIUMBLOB" if type_.length is None else super().visit_large_binary(type_, **kw)


class _Tables(MySQLDDLCompiler):
    def get_column_specification(self, column: Any, **kw: Any) -> str:
        """What is counted up is counted in 64 bits, as SQLite does."""
        said = super().get_column_specification(column, **kw)
        return said.replace("INTEGER", "BIGINT", 1) if "AUTO_INCREMENT" in said else said

    def post_create_table(self, table: Any) -> str:
        """Text is equal when its bytes are, as on SQLite: no case, accent or trailing space is passed over."""
        exact = "utf8mb4_nopad_bin" if cast("Exact", self.dialect).is_mariadb else "utf8mb4_0900_bin"
        return f"{super().post_create_table(table)} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={exact}"


class Exact(MySQLDialect_asyncmy):
    """The dialect whose tables compare as SQLite's do, and which ends no transaction that was not begun."""

    supports_statement_cache = True
    ddl_compiler = _Tables
    type_compiler_cls = _Types

    def do_rollback(self, dbapi_connection: Any) -> None:
        if _in_transaction(dbapi_connection):
            dbapi_connection.rollback()

    def do_commit(self, dbapi_connection: Any) -> None:
        if _in_transaction(dbapi_connection):
            dbapi_connection.commit()


registry.register("mysql.exact", __name__, "Exact")


def _in_transaction(dbapi_connection: Any) -> bool:
    raw = dbapi_connection.driver_connection
    return bool(raw.connected and raw.server_status & _IN_TRANSACTION)


class MariaDB:
    """One database. Transactions run again by themselves after a deadlock or a lost connection, up to a deadline."""

    def __init__(self, url: str, rng: Random | None = None) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        self._dice = rng or Random()  # noqa: S311  # spreads retries, guards nothing
        self.place = make_url(url)
        self.engine_name = describe_engine(url)
        query = {name: value for name, value in self.place.query.items() if name != "charset"}
        self.engine = create_async_engine(
            self.place.set(drivername="mysql+exact", query=query),
            poolclass=NullPool,
            connect_args={
                "charset": "utf8mb4",
                "autocommit": True,
                "connect_timeout": CONNECT_S,
                "stmt_cache_size": STATEMENTS,
                "init_command": _SESSION,
            },
        ).sync_engine
        self._idle: list[tuple[float, Connection]] = []
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def open(self) -> None:
        """See that it is there and of a version that is known. Raises EngineUnavailable, WrongVersion."""
        await self.read_autocommit(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        self._check_version()

    async def close(self) -> None:
        """Close what is idle; transactions under way close theirs at their end."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await _closed(connection)

    async def read_autocommit(self, transaction: Callable[[Connection], T]) -> T:
        """Run statements without a transaction: each sees what is committed as it runs."""
        return await self._tried(transaction, None)

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction on one snapshot."""
        return await self._tried(transaction, "REPEATABLE READ, READ ONLY")

    async def write(self, transaction: Callable[[Connection], T], isolation: str, retry_on_conflict: bool) -> T:
        """Run a transaction; again after a deadlock, and, if it is `retry_on_conflict`, where another's row came first."""
        return await self._tried(transaction, isolation, retry_on_conflict)

    @contextlib.asynccontextmanager
    async def advisory_lock(self, name: str) -> AsyncIterator[bool]:
        """Hold a lock of the server's if nobody holds it; tells whether. It ends with this connection at the latest."""
        lock = f"{self.place.database}.{name}"[:64]
        try:
            async with self._connection() as connection:
                ours = await greenlet_spawn(_scalar, connection, "SELECT GET_LOCK(%s, 0)", lock) == 1
                try:
                    yield ours
                finally:
                    if ours:
                        await greenlet_spawn(_scalar, connection, "SELECT RELEASE_LOCK(%s)", lock)
        except exc.DBAPIError as error:
            raise (fault_of(error, self.engine_name).problem or error) from error

    async def _tried(
        self, transaction: Callable[[Connection], T], mode: str | None, retry_on_conflict: bool = False
    ) -> T:
        left_ms = context.current().remaining_ms()
        limit_s = TRANSACTION_S if left_ms is None else min(TRANSACTION_S, left_ms / 1000)
        try:
            async with asyncio.timeout(limit_s):
                return await self._repeated(transaction, mode, retry_on_conflict)
        except TimeoutError as error:
            raise EngineUnavailable(
                engine=self.engine_name,
                detail=f"{self.engine_name} did not answer within {limit_s:.1f} s; a write may be kept.",
            ) from error

    async def _repeated(self, transaction: Callable[[Connection], T], mode: str | None, retry_on_conflict: bool) -> T:
        lost = False
        for tried in range(1, TRIES + 1):
            try:
                return await self._once(transaction, mode)
            except _Unsure as error:
                raise EngineUnavailable(
                    engine=self.engine_name,
                    detail=f"{self.engine_name} was lost while it committed: the write may be kept.",
                ) from error
            except exc.DBAPIError as error:
                fault = fault_of(error, self.engine_name)
                again = (
                    fault.undone
                    or (fault.lost and not lost)
                    or (retry_on_conflict and isinstance(error, IntegrityError))
                )
                if tried == TRIES or not again:
                    raise (fault.problem or error) from error
                lost = lost or fault.lost
                await self._pause(tried, fault)
        raise AssertionError  # the last try has returned or raised

    async def _pause(self, tried: int, fault: Fault) -> None:
        _log.info("sql.again", engine=self.engine_name, store=self.place.database, tried=tried, code=fault.code)
        if not fault.lost:
            await asyncio.sleep(self._dice.uniform(0, min(0.2, 0.002 * 2**tried)))

    async def _once(self, transaction: Callable[[Connection], T], mode: str | None) -> T:
        async with self._connection() as connection:
            return await greenlet_spawn(_run, connection, mode, transaction)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection of our own for a while; it is closed and not kept when anything but a plain end befalls it."""
        async with self._free:
            connection = await self._kept()
            if connection is None:
                connection = await greenlet_spawn(self.engine.connect)
            try:
                yield connection
            except BaseException as error:
                if not _is_sound(connection, error):
                    await self._dropped(connection, error)
                    raise
                self._keep(connection)
                raise
            self._keep(connection)

    async def _kept(self) -> Connection | None:
        if not self._idle:
            return None
        since, connection = self._idle.pop()
        if asyncio.get_running_loop().time() - since < IDLE_S:
            return connection
        try:
            await greenlet_spawn(_ping, connection)
        except Exception:
            await _closed(connection)
            return await self._kept()
        return connection

    def _keep(self, connection: Connection) -> None:
        self._idle.append((asyncio.get_running_loop().time(), connection))

    async def _dropped(self, connection: Connection, error: BaseException) -> None:
        await _closed(connection)
        if _is_gone(error):  # the others were lost with it
            await self.close()

    def _away(self, what: str) -> EngineUnavailable:
        return EngineUnavailable(engine=self.engine_name, detail=f"{self.engine_name} {what}.")

    def _check_version(self) -> None:
        dialect = cast("Exact", self.engine.dialect)
        kind = "MariaDB" if dialect.is_mariadb else "MySQL"
        found = tuple(dialect.server_version_info)
        if found < OLDEST[kind]:
            said, least = (".".join(str(part) for part in version) for version in (found, OLDEST[kind]))
            raise WrongVersion(
                engine=self.engine_name,
                detail=f"{self.engine_name} is {kind} {said}: Matinee needs {kind} {least} or newer.",
            )


class _Unsure(Exception):
    """The connection was lost with a COMMIT on its way."""


def _run(connection: Connection, mode: str | None, transaction: Callable[[Connection], T]) -> T:
    whole = connection.begin()
    try:
        if mode is not None:
            _begin(connection, mode)
        result = transaction(connection)
    except BaseException:
        whole.rollback()
        raise
    try:
        whole.commit()
    except exc.DBAPIError as error:
        if is_lost(error):
            raise _Unsure from error
        raise
    return result


def _scalar(connection: Connection, statement: str, value: str) -> Any:
    with connection.begin():
        return connection.exec_driver_sql(statement, (value,)).scalar()


def _begin(connection: Connection, mode: str) -> None:
    """Both statements in one round trip, and without SQLAlchemy's cursor, which costs as much as they do."""
    isolation, _, access = mode.partition(", ")
    said = f"SET TRANSACTION ISOLATION LEVEL {isolation}; START TRANSACTION {access}"
    errors = connection.dialect.loaded_dbapi.Error
    try:
        await_only(_both(connection.connection.driver_connection, said))
    except errors as error:
        raise exc.DBAPIError.instance(said, None, error, errors, dialect=connection.dialect) from error


async def _both(raw: Any, said: str) -> None:
    await raw.query(said)
    await raw.next_result()


def _ping(connection: Connection) -> None:
    raw: Any = connection.connection.driver_connection
    await_only(raw.ping(False))


def _is_gone(error: BaseException) -> bool:
    return isinstance(error, _Unsure) or is_lost(error)


def _is_sound(connection: Connection, error: BaseException) -> bool:
    """Whether it can go on being used: whatever was refused by the engine or raised by the transaction's own code."""
    if connection.closed or connection.invalidated or isinstance(error, asyncio.CancelledError) or _is_gone(error):
        return False
    raw: Any = connection.connection.driver_connection
    return bool(raw.connected) and not raw.server_status & _IN_TRANSACTION


async def _closed(connection: Connection) -> None:
    """Close at once, without a word to an engine that may not listen."""
    with contextlib.suppress(Exception):
        if not connection.closed and not connection.invalidated:
            cast("Any", connection.connection.driver_connection).close()
        await greenlet_spawn(connection.close)
