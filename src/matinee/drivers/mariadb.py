"""MariaDB and MySQL through asyncmy, on SQLAlchemy's asynchronous engine and connection pool.

Connections are in autocommit mode. A transaction begins with its isolation level in one round trip and runs as one
synchronous function; an autocommit read sends its statements only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, exc, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.asyncmy import MySQLDialect_asyncmy
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler, MySQLTypeCompiler
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from matinee.drivers.engine import EngineUnavailable, WrongVersion, describe_engine
from matinee.drivers.sql_faults import LOST, Fault, to_fault
from matinee.kit import context, log

T = TypeVar("T")
OLDEST: Final = {"MariaDB": (10, 6), "MySQL": (8, 0, 17)}
# The most connections of one process to one database; further transactions wait for a free connection.
CONNECTIONS = 8
CONNECT_S = 5.0
# The limit of a transaction with its retries, where the request has no deadline.
TRANSACTION_S = 15.0
LOCK_WAIT_S = 3
TRIES = 10
# A connection idle for this long is pinged before use: a firewall or the server may have dropped it.
IDLE_S = 60.0
STATEMENTS = 64
_BEGIN: Final = "matinee.begin"
_IN_TRANSACTION = 1
_SESSION = (
    "SET SESSION sql_mode='TRADITIONAL,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', "
    f"innodb_lock_wait_timeout={LOCK_WAIT_S}, time_zone='+00:00'"
)
_log = log.get()


class _TypeCompiler(MySQLTypeCompiler):
    def visit_large_binary(self, type_: Any, **kw: Any) -> str:
        """Return MEDIUMBLOB: a BLOB is limited to 64 KiB, and SQLite has no such limit."""
        return "MEDIUMBLOB" if type_.length is None else super().visit_large_binary(type_, **kw)


class _DDLCompiler(MySQLDDLCompiler):
    def get_column_specification(self, column: Any, **kw: Any) -> str:
        """Make auto-increment columns 64 bits wide, as they are in SQLite."""
        specification = super().get_column_specification(column, **kw)
        return specification.replace("INTEGER", "BIGINT", 1) if "AUTO_INCREMENT" in specification else specification

    def post_create_table(self, table: Any) -> str:
        """Compare text by its bytes, as SQLite does: case, accents and trailing spaces are significant."""
        collation = "utf8mb4_nopad_bin" if cast("ExactDialect", self.dialect).is_mariadb else "utf8mb4_0900_bin"
        return f"{super().post_create_table(table)} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={collation}"


class ExactDialect(MySQLDialect_asyncmy):
    """A dialect whose tables compare text as SQLite does, and which saves round trips of asyncmy connections."""

    supports_statement_cache = True
    ddl_compiler = _DDLCompiler
    type_compiler_cls = _TypeCompiler

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin the transaction that `_run` requested, if any, with its isolation level in one round trip."""
        if statements := dbapi_connection.info.pop(_BEGIN, None):
            await_only(_execute_pair(dbapi_connection.driver_connection, statements))

    def do_rollback(self, dbapi_connection: Any) -> None:
        if _is_in_transaction(dbapi_connection):
            dbapi_connection.rollback()

    def do_commit(self, dbapi_connection: Any) -> None:
        if _is_in_transaction(dbapi_connection):
            dbapi_connection.commit()

    def do_ping(self, dbapi_connection: Any) -> Literal[True]:
        """Ping a connection that was idle for `IDLE_S`: a ping before each use costs as much as a look-up."""
        idle_s = asyncio.get_running_loop().time() - dbapi_connection.driver_connection.last_usage
        return super().do_ping(dbapi_connection) if idle_s > IDLE_S else True

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close without waiting for the engine, which may not answer."""
        dbapi_connection.driver_connection.close()

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        return (e.args[:1] and e.args[0] in LOST) or super().is_disconnect(e, connection, cursor)


registry.register("mysql.exact", __name__, "ExactDialect")


def create_mariadb_engine(url: URL, **options: Any) -> AsyncEngine:
    """Create an engine of `ExactDialect`; `options` are those of `create_async_engine`."""
    query = {name: value for name, value in url.query.items() if name != "charset"}
    return create_async_engine(
        url.set(drivername="mysql+exact", query=query),
        connect_args={
            "charset": "utf8mb4",
            "autocommit": True,
            "connect_timeout": CONNECT_S,
            "stmt_cache_size": STATEMENTS,
            "init_command": _SESSION,
        },
        **options,
    )


class MariaDB:
    """One database. A transaction is retried after a deadlock or a lost connection, up to a deadline."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._name = describe_engine(url)
        self._engine = create_mariadb_engine(
            self._url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=None,  # the deadline bounds the wait for a connection
            pool_use_lifo=True,
            pool_pre_ping=True,
        )

    async def open(self) -> None:
        """Connect and check the version. Raises EngineUnavailable, WrongVersion."""
        await self.read_autocommit(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        self._check_version()

    async def close(self) -> None:
        """Close the idle connections; those in use are closed when they are released."""
        await self._engine.dispose()

    async def read_autocommit(self, transaction: Callable[[Connection], T]) -> T:
        """Run statements without a transaction: each reads what is committed when it runs."""
        return await self._run_within_deadline(transaction, None)

    async def read(self, transaction: Callable[[Connection], T]) -> T:
        """Run a read-only transaction on one snapshot."""
        return await self._run_within_deadline(transaction, "REPEATABLE READ; START TRANSACTION READ ONLY")

    async def write(
        self, transaction: Callable[[Connection], T], isolation: str, retry_on_conflict: bool, gather_s: float
    ) -> T:
        """Run a transaction. With `retry_on_conflict` a violated unique key also causes a retry.

        `gather_s` has no effect: the server commits the transactions of all connections in groups.
        """
        return await self._run_within_deadline(transaction, f"{isolation}; START TRANSACTION", retry_on_conflict)

    @contextlib.asynccontextmanager
    async def advisory_lock(self, name: str) -> AsyncIterator[bool]:
        """Take a lock of the server and yield whether it was free. The server releases it with the connection."""
        lock = f"{self._url.database}.{name}"[:64]
        try:
            async with self._engine.connect() as connection:
                is_ours = (await connection.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (lock,))).scalar() == 1
                try:
                    yield is_ours
                finally:
                    if is_ours:
                        await connection.exec_driver_sql("DO RELEASE_LOCK(%s)", (lock,))
        except exc.DBAPIError as error:
            raise (to_fault(error, self._name).problem or error) from error

    async def _run_within_deadline(
        self, transaction: Callable[[Connection], T], mode: str | None, retry_on_conflict: bool = False
    ) -> T:
        limit_s = context.current().shorten_s(TRANSACTION_S)
        try:
            async with asyncio.timeout(limit_s):
                return await self._retry(transaction, mode, retry_on_conflict)
        except TimeoutError as error:
            raise self._unavailable(
                f"did not answer within {limit_s:.1f} s; a write may have been committed"
            ) from error

    async def _retry(self, transaction: Callable[[Connection], T], mode: str | None, retry_on_conflict: bool) -> T:
        was_lost = False
        for attempt in range(1, TRIES + 1):
            try:
                # One greenlet for the checkout, the transaction and the return: an AsyncConnection starts one for each
                # of them, which costs half as much CPU again for a look-up (docs/adr/0016).
                return await greenlet_spawn(_run, self._engine.sync_engine, mode, transaction)
            except _CommitUncertain as error:
                raise self._unavailable("was lost during a commit: the write may have been committed") from error
            except exc.DBAPIError as error:
                fault = to_fault(error, self._name)
                is_conflict = retry_on_conflict and isinstance(error, exc.IntegrityError)
                if attempt == TRIES or not (fault.undone or is_conflict or (fault.lost and not was_lost)):
                    raise (fault.problem or error) from error
                was_lost = was_lost or fault.lost
                await self._pause(attempt, fault)
        raise AssertionError("the last attempt returns or raises")

    async def _pause(self, attempt: int, fault: Fault) -> None:
        _log.info("sql.retry", engine=self._name, store=self._url.database, attempt=attempt, code=fault.code)
        if not fault.lost:
            await asyncio.sleep(random.uniform(0, min(0.2, 0.002 * 2**attempt)))  # noqa: S311 - not a secret

    def _unavailable(self, what: str) -> EngineUnavailable:
        return EngineUnavailable(engine=self._name, detail=f"{self._name} {what}.")

    def _check_version(self) -> None:
        dialect = cast("ExactDialect", self._engine.dialect)
        kind = "MariaDB" if dialect.is_mariadb else "MySQL"
        found = tuple(dialect.server_version_info)
        if found < OLDEST[kind]:
            running, oldest = (".".join(str(part) for part in version) for version in (found, OLDEST[kind]))
            detail = f"{self._name} is {kind} {running}: Matinee needs {kind} {oldest} or newer."
            raise WrongVersion(engine=self._name, detail=detail)


class _CommitUncertain(Exception):
    """The connection was lost during a COMMIT."""


def _run(engine: Engine, mode: str | None, transaction: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        if mode is not None:
            connection.info[_BEGIN] = f"SET TRANSACTION ISOLATION LEVEL {mode}"
        with connection.begin() as running:
            result = transaction(connection)
            try:
                running.commit()
            except exc.DBAPIError as error:
                if error.connection_invalidated:
                    raise _CommitUncertain from error
                raise
        return result


async def _execute_pair(raw: Any, statements: str) -> None:
    await raw.query(statements)
    await raw.next_result()


def _is_in_transaction(dbapi_connection: Any) -> bool:
    raw = dbapi_connection.driver_connection
    return bool(raw.connected and raw.server_status & _IN_TRANSACTION)
