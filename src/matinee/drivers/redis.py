"""Redis through redis-py: RESP3, a bounded pool and a deadline for every command.

A URL is redis-py's (`redis://`, `rediss://`, `unix://`), with `?prefix=` for the namespace that `key` prepends.
Commands are not retried, unless the caller asks for it by `retry`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis import asyncio as aioredis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.maint_notifications import MaintNotificationsConfig

from matinee.drivers.engine import (
    EngineReadOnly,
    EngineUnavailable,
    StoreFull,
    WrongVersion,
    describe_engine,
    to_operation,
)
from matinee.kit import context
from matinee.kit.context import traced

T = TypeVar("T")
OLDEST = (6, 2)
TRIES = 3
# Errors of a Redis that is temporarily not usable.
_BUSY = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY", "UNBLOCKED")


class Redis:
    """One Redis. Use as `async with Redis(url) as redis:`; with `lazy` it may be unavailable when it is opened.

    `limit_s` limits every operation, `connect_s` every connection attempt, `connections` the size of the pool.
    """

    def __init__(
        self, url: str, *, connect_s: float = 1.0, limit_s: float = 2.0, connections: int = 32, lazy: bool = False
    ) -> None:
        plain, self._prefix = _split_prefix(url)
        self.engine = describe_engine(plain)
        self._operation = to_operation(self.engine, "command")
        self._limit_s = limit_s
        self._lazy = lazy
        pool = aioredis.BlockingConnectionPool.from_url(
            plain,
            max_connections=connections,
            timeout=limit_s,
            protocol=3,
            driver_info=None,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=connect_s,
            # `operation` has the limit. The library's own uses `asyncio.wait_for`, which can swallow a cancellation on
            # Python 3.11 (python/cpython#86296).
            socket_timeout=None,
            redis_connect_func=_connect,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        self.client: aioredis.Redis = aioredis.Redis.from_pool(pool)

    async def __aenter__(self) -> Redis:
        if not self._lazy:
            try:
                await self.check()
            except BaseException:
                await self.client.aclose()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def check(self) -> None:
        """Write a small key: a full Redis and a replica would answer a ping. Raises what `operation` raises."""
        async with self.operation() as client:
            await client.set(self.key("check"), b"", px=60_000)

    def key(self, name: str) -> str:
        """Return a name in this namespace."""
        return f"{self._prefix}:{name}" if self._prefix else name

    def script(self, lua: str) -> AsyncScript:
        """Register an atomic script: `await script(keys=[…], args=[…])` inside `operation` or `retry`."""
        return self.client.register_script(lua)

    @asynccontextmanager
    async def operation(self, limit_s: float | None = None) -> AsyncIterator[aioredis.Redis]:
        """Yield the client, within a limit and the request's deadline.

        Raises EngineUnavailable (the commands may or may not have been executed), EngineReadOnly, StoreFull,
        WrongVersion.
        """
        with traced(self._operation), self._translate_errors():
            async with asyncio.timeout(context.current().shorten_s(self._limit_s if limit_s is None else limit_s)):
                yield self.client

    async def retry(self, call: Callable[[aioredis.Redis], Awaitable[T]], limit_s: float | None = None) -> T:
        """Make an idempotent call, and retry it while Redis is unavailable. Raises what `operation` raises."""
        for attempt in range(1, TRIES):
            try:
                async with self.operation(limit_s) as client:
                    return await call(client)
            except EngineUnavailable:
                await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - not a secret
        async with self.operation(limit_s) as client:
            return await call(client)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise the library's errors as problems."""
        try:
            yield
        except (exceptions.RedisError, OSError) as error:  # the built-in TimeoutError is an OSError
            if (problem := _to_problem(error, self.engine)) is None:
                raise
            raise problem from error


def _split_prefix(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    rest = urlencode([(name, value) for name, value in query if name != "prefix"])
    return urlunsplit(parts._replace(query=rest)), dict(query).get("prefix", "")


async def _connect(connection: Any) -> None:
    """Connect and check the version, for every connection, since a running Redis may be replaced."""
    await connection.on_connect()
    await connection.send_command("INFO", "server", check_health=False)
    reply = await connection.read_response()
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)
    version = next((line.partition(":")[2] for line in text.splitlines() if line.startswith("redis_version:")), "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        await connection.disconnect()
        raise _create_wrong_version(f"This is Redis {version}")


def _create_wrong_version(what: str) -> WrongVersion:
    return WrongVersion(engine="redis", detail=f"{what}; Matinee works with {OLDEST[0]}.{OLDEST[1]} and newer.")


def _to_problem(error: Exception, engine: str) -> Exception | None:
    """Return the problem behind an error; None for a bug (a wrong type, a failing script)."""
    text = str(error)
    if isinstance(error, exceptions.ReadOnlyError) or "READONLY" in text:
        return EngineReadOnly(engine="redis", detail=f"{engine} is a replica: it takes no writes.")
    if isinstance(error, exceptions.OutOfMemoryError) or "OOM command" in text or "No space left" in text:
        return StoreFull(detail=f"{engine} is full: raise its maxmemory, or free some space.")
    if "MISCONF" in text:
        return EngineReadOnly(engine="redis", detail=f"{engine} cannot write to its disk: {text}")
    if "unknown command" in text and "HELLO" in text:
        return _create_wrong_version(f"{engine} has no HELLO")
    if isinstance(error, exceptions.ResponseError | exceptions.DataError) and not text.startswith(_BUSY):
        is_denied = isinstance(error, exceptions.NoPermissionError) or "NOAUTH" in text
        return EngineUnavailable(engine="redis", detail=f"{engine} denies access: {error}") if is_denied else None
    return EngineUnavailable(engine="redis", detail=f"{engine} does not answer: {text or type(error).__name__}")
