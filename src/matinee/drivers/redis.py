"""Redis by redis-py: RESP3, a bounded pool, a deadline on everything; its troubles in the words of `drivers.engine`.

A URL is redis-py's (`redis://`, `rediss://`, `unix://`), with `?prefix=` for the namespace that `key` puts in front.
No command is repeated on its own: who knows that a call may be repeated asks for it with `retry`.
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

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreFull, WrongVersion, describe_engine
from matinee.kit import context

T = TypeVar("T")
OLDEST = (6, 2)
TRIES = 3
_NOT_NOW = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY", "UNBLOCKED")


class Redis:
    """One Redis. Use as `async with Redis(url) as redis:`; with `lazy` it may be away when it is opened.

    `limit_s` bounds every command, `connect_s` every connection, `connections` how many there are at once.
    """

    def __init__(
        self, url: str, *, connect_s: float = 1.0, limit_s: float = 2.0, connections: int = 32, lazy: bool = False
    ) -> None:
        plain, self._prefix = _without_prefix(url)
        self.engine = describe_engine(plain)
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
            # None: `operation` bounds all that is said. The library's own limit would go through `asyncio.wait_for`,
            # which on Python 3.11 may swallow a cancellation (python/cpython#86296).
            socket_timeout=None,
            redis_connect_func=_introduce,
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
        """Write something small: a Redis that is full or a replica answers a ping. Raises what `operation` raises."""
        async with self.operation() as client:
            await client.set(self.key("check"), b"", px=60_000)

    def key(self, name: str) -> str:
        """A name in this namespace."""
        return f"{self._prefix}:{name}" if self._prefix else name

    def script(self, lua: str) -> AsyncScript:
        """A script that Redis runs whole: `await script(keys=[…], args=[…])`, inside `operation` or `retry`."""
        return self.client.register_script(lua)

    @asynccontextmanager
    async def operation(self, limit_s: float | None = None) -> AsyncIterator[aioredis.Redis]:
        """Commands within a limit and the request's deadline; what goes wrong comes out as a Problem.

        Raises EngineUnavailable (what was sent may or may not have been done), EngineReadOnly, StoreFull, WrongVersion.
        """
        with self.translate_errors():
            async with asyncio.timeout(_at_most(self._limit_s if limit_s is None else limit_s)):
                yield self.client

    async def retry(self, call: Callable[[aioredis.Redis], Awaitable[T]], limit_s: float | None = None) -> T:
        """A call that may be done twice, tried again while Redis is away. Raises what `operation` raises."""
        for attempt in range(1, TRIES):
            try:
                async with self.operation(limit_s) as client:
                    return await call(client)
            except EngineUnavailable:
                await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - not a secret
        async with self.operation(limit_s) as client:
            return await call(client)

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Errors of the library as Problems."""
        try:
            yield
        except (exceptions.RedisError, OSError) as error:  # the built-in TimeoutError is an OSError
            if (problem := _problem(error, self.engine)) is None:
                raise
            raise problem from error


def _without_prefix(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    rest = urlencode([(name, value) for name, value in query if name != "prefix"])
    return urlunsplit(parts._replace(query=rest)), dict(query).get("prefix", "")


def _at_most(limit_s: float) -> float:
    left_ms = context.current().remaining_ms()
    return limit_s if left_ms is None else min(limit_s, left_ms / 1000)


async def _introduce(connection: Any) -> None:
    """Shake hands, and refuse a Redis that is too old: asked of every connection, since an engine may be replaced."""
    await connection.on_connect()
    await connection.send_command("INFO", "server", check_health=False)
    reply = await connection.read_response()
    lines = (reply if isinstance(reply, bytes) else str(reply).encode()).decode(errors="replace").splitlines()
    version = next((line.partition(":")[2] for line in lines if line.startswith("redis_version:")), "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        await connection.disconnect()
        raise _too_old(f"This is Redis {version}")


def _too_old(what: str) -> WrongVersion:
    return WrongVersion(engine="redis", detail=f"{what}; Matinee works with {OLDEST[0]}.{OLDEST[1]} and newer.")


def _problem(error: Exception, where: str) -> Exception | None:
    """The problem behind an error; None where it is a mistake of ours (a wrong type, a script that fails)."""
    text = str(error)
    if isinstance(error, exceptions.ReadOnlyError) or "READONLY" in text:
        return EngineReadOnly(engine="redis", detail=f"{where} is a replica: it takes no writes.")
    if isinstance(error, exceptions.OutOfMemoryError) or "OOM command" in text or "No space left" in text:
        return StoreFull(detail=f"{where} is full: raise its maxmemory, or free some room.")
    if "MISCONF" in text:
        return EngineReadOnly(engine="redis", detail=f"{where} cannot write to its disk: {text}")
    if "unknown command" in text and "HELLO" in text:
        return _too_old(f"{where} knows no HELLO")
    if isinstance(error, exceptions.ResponseError | exceptions.DataError) and not text.startswith(_NOT_NOW):
        return _refused(error, where)
    return EngineUnavailable(engine="redis", detail=f"{where} does not answer: {text or type(error).__name__}")


def _refused(error: Exception, where: str) -> Exception | None:
    if isinstance(error, exceptions.NoPermissionError) or "NOAUTH" in str(error):
        return EngineUnavailable(engine="redis", detail=f"{where} refuses: {error}")
    return None
