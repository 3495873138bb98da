"""A Memcached client for the meta protocol: one connection per host, with pipelined requests.

It exists because replies must be matched to requests in every case. aiomcache returns a connection to its pool when a
call is cancelled, so the next call reads the reply of the cancelled one, and its read loop never ends after the server
has closed the connection. Here the reply to a cancelled request is read and dropped.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, cast
from urllib.parse import unquote

from matinee.drivers.engine import EngineUnavailable, WrongVersion

OLDEST = (1, 6, 18)
# Memcached takes a longer time for a date.
MAX_TTL_S = 30 * 86_400
# A connection without any reply for this long is closed when a request on it is cancelled.
_UNRESPONSIVE_S = 0.01
# A listing of keys arrives in pieces; after such a pause it has ended.
_LISTING_TIMEOUT_S = 5.0
_BUSY_PAUSE_S = 0.05
_LISTED_KEY = re.compile(rb"key=(\S+) exp=(-?\d+) ")


class Reply(NamedTuple):
    """A reply: `HD` done, `VA` a value, `EN` not found, `NS` not stored."""

    code: bytes
    flags: dict[str, bytes] = {}  # noqa: RUF012 - never written
    value: bytes = b""

    @property
    def ttl_s(self) -> int:
        """The time that is left to the value (flag `t`)."""
        return int(self.flags["t"])


def build_get(key: str) -> bytes:
    """Build a request for a value and the time that is left to it."""
    return f"mg {key} v t\r\n".encode()


def build_set(key: str, value: bytes, ttl_s: int, *, only_if_absent: bool = False) -> bytes:
    """Build a request that stores a value."""
    condition = " ME" if only_if_absent else ""
    ttl_s = min(max(ttl_s, 1), MAX_TTL_S)
    return f"ms {key} {len(value)} T{ttl_s}{condition}\r\n".encode() + value + b"\r\n"


class Memcached:
    """One Memcached. `connect_s` limits a connection attempt; requests are limited by their callers.

    `on_connect` is called after each new connection.
    """

    def __init__(self, host: str, port: int, *, connect_s: float = 0.5) -> None:
        self.on_connect: Callable[[], None] = lambda: None
        self._address = (host, port)
        self._connect_s = connect_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    @property
    def engine(self) -> str:
        """The engine and its location."""
        return f"memcached at {self._address[0]}:{self._address[1]}"

    async def request(self, request: bytes) -> Reply:
        """Send a request and return its reply. Raises EngineUnavailable, WrongVersion."""
        connection = self._connection
        if connection is None or connection.is_closed:
            connection = await self._connect_once()
        return await connection.request(request)

    async def check(self) -> None:
        """Send a request without effect. Raises EngineUnavailable, WrongVersion."""
        await self.request(b"mn\r\n")

    async def list_keys(self, prefix: str, limit: int) -> AsyncIterator[str]:
        """Yield at most `limit` keys with a prefix, without the prefix. Raises EngineUnavailable.

        A listing is long, so it has a connection of its own. Memcached makes one at a time: another one is waited for.
        """
        try:
            async with asyncio.timeout(_LISTING_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(*self._address)
        except OSError as error:
            raise self._unavailable(str(error)) from error
        try:
            line = await self._start_listing(reader, writer)
            count = 0
            while count < limit and (match := _LISTED_KEY.match(line)):
                key = unquote(match[1].decode())
                if key.startswith(prefix):
                    count += 1
                    yield key.removeprefix(prefix)
                line = await self._read_line(reader)
        finally:
            writer.transport.abort()

    def close(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close("the client is closed")

    async def _start_listing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Return the first line of a listing."""
        deadline_s = time.monotonic() + _LISTING_TIMEOUT_S
        while True:
            writer.write(b"lru_crawler metadump all\r\n")
            line = await self._read_line(reader)
            if not line.startswith(b"BUSY"):
                return line
            if time.monotonic() > deadline_s:
                raise self._unavailable("other listings of keys take too long")
            await asyncio.sleep(_BUSY_PAUSE_S)

    async def _read_line(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(_LISTING_TIMEOUT_S):
                return await reader.readline()
        except (OSError, ValueError) as error:
            raise self._unavailable(f"listing keys: {error!r}") from error

    async def _connect_once(self) -> _Connection:
        # Concurrent requests share one attempt, which goes on when one of them is cancelled.
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await loop.create_connection(lambda: _Connection(self.engine), *self._address)
        except OSError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        try:
            async with asyncio.timeout(self._connect_s):
                version = (await connection.request(b"version\r\n")).value.decode(errors="replace")
        except BaseException as error:
            connection.close("no reply after connecting")
            if isinstance(error, TimeoutError):
                raise self._unavailable("no reply after connecting") from error
            raise
        if _parse_version(version) < OLDEST:
            connection.close("wrong version")
            oldest = ".".join(map(str, OLDEST))
            raise WrongVersion(engine="memcached", detail=f"{self.engine} is {version}; {oldest} or newer is needed.")
        self._connection = connection  # before other tasks run, which would open another one
        self.on_connect()
        return connection

    def _unavailable(self, reason: str) -> EngineUnavailable:
        return _to_problem(self.engine, reason)


class _Connection(asyncio.Protocol):
    """A connection, and the replies that it waits for in the order of the requests."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._partial: Reply | None = None  # a reply whose value has not arrived yet
        self._value_size = 0
        self._received_at_s = 0.0
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    async def request(self, request: bytes) -> Reply:
        if self.is_closed or self._transport is None:
            raise _to_problem(self._engine, "the connection is closed")
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append(reply)
        sent_at_s = self._loop.time()
        self._transport.write(request)
        try:
            return await reply
        except asyncio.CancelledError:
            # Later requests on an unresponsive connection would time out too.
            if self._received_at_s < sent_at_s < self._loop.time() - _UNRESPONSIVE_S:
                self.close("the connection is unresponsive")
            raise

    def data_received(self, data: bytes) -> None:
        self._received_at_s = self._loop.time()
        self._buffer += data
        try:
            while self._parse_next():
                pass
        except (ValueError, IndexError, UnicodeDecodeError):
            self.close("the reply is not of the meta protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(str(exc) if exc else "the server closed the connection")

    def close(self, reason: str) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(_to_problem(self._engine, reason))
        self._waiting.clear()

    def _parse_next(self) -> bool:
        """Parse a line or a value from the buffer; return False if it is incomplete."""
        if self._partial is not None:
            if len(self._buffer) < self._value_size + 2:
                return False
            self._add(self._partial._replace(value=bytes(self._buffer[: self._value_size])))
            del self._buffer[: self._value_size + 2]
            self._partial = None
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        words = bytes(self._buffer[:end]).split(b" ")
        del self._buffer[: end + 2]
        self._parse_line(words)
        return True

    def _parse_line(self, words: list[bytes]) -> None:
        code = words[0]
        if code == b"VA":
            self._partial, self._value_size = Reply(code, _parse_flags(words[2:])), int(words[1])
        elif code == b"VERSION":
            self._add(Reply(code, value=b" ".join(words[1:])))
        elif code in {b"ERROR", b"CLIENT_ERROR"}:
            raise ValueError(code)  # the server may take the rest of a rejected request for another one
        else:
            self._add(Reply(code, _parse_flags(words[1:]) if code != b"SERVER_ERROR" else {}))

    def _add(self, reply: Reply) -> None:
        waiting = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(reply)


def _parse_flags(words: list[bytes]) -> dict[str, bytes]:
    return {word[:1].decode(): word[1:] for word in words if word}


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def _to_problem(engine: str, reason: str) -> EngineUnavailable:
    return EngineUnavailable(engine="memcached", detail=f"{engine} does not answer: {reason}")
