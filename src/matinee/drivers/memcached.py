"""Memcached by its meta protocol: one connection a host, requests sent one after the other without waiting.

Our own client, since replies must be matched to requests whatever happens: aiomcache hands a connection back to its
pool when a call is cancelled, so that the next call reads the reply of the one before, and its reading loop never ends
once the peer has closed. Here a request that nobody waits for any more still takes its reply off the line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, cast

from matinee.drivers.engine import EngineUnavailable, WrongVersion

OLDEST = (1, 6, 18)
# Memcached takes a longer time for a date.
LONGEST_S = 30 * 86_400
_SILENT_S = 0.01


class Reply(NamedTuple):
    """A reply: `HD` done, `VA` a value, `EN` and `NF` nothing there, `NS` not stored, `EX` there is something else."""

    code: bytes
    flags: dict[str, bytes] = {}  # noqa: RUF012 - never written
    value: bytes = b""

    @property
    def cas(self) -> int:
        """What tells this value from every other (flag `c`); 0 where it was not asked for."""
        return int(self.flags.get("c", b"0"))


def get(key: str, *, flags: str = "v", vivify_s: int = 0) -> bytes:
    """Ask for a value. `vivify_s`: where there is none, leave an empty one for so long, so that it can be known."""
    asked = " ".join([*flags, *([f"N{vivify_s}"] if vivify_s else [])])
    return f"mg {key} {asked}\r\n".encode()


def store(key: str, value: bytes, ttl_s: int, *, cas: int = 0, absent: bool = False) -> bytes:
    """Store a value; with `cas` only over that very value, with `absent` only where there is none."""
    rule = f" C{cas}" if cas else " ME" if absent else ""
    ttl_s = min(max(ttl_s, 1), LONGEST_S)
    return f"ms {key} {len(value)} c T{ttl_s}{rule}\r\n".encode() + value + b"\r\n"


class Memcached:
    """One Memcached. `connect_s` bounds connecting; what a request may take is its caller's business."""

    def __init__(self, host: str, port: int, *, connect_s: float = 0.5) -> None:
        self.place = (host, port)
        self._connect_s = connect_s
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None

    @property
    def engine(self) -> str:
        """The engine and where it is."""
        return f"memcached at {self.place[0]}:{self.place[1]}"

    async def ask(self, requests: Sequence[bytes]) -> list[Reply]:
        """Send requests and take a reply to each, in their order. Raises EngineUnavailable, WrongVersion."""
        line = self._line
        if line is None or line.is_closed:
            line = await self._connected()
        return await line.ask(requests)

    async def check(self) -> None:
        """Ask for nothing. Raises EngineUnavailable, WrongVersion."""
        await self.ask([b"mn\r\n"])

    def close(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.close("closed here")

    async def _connected(self) -> _Line:
        # One connects for all who ask meanwhile; who gives up does not take it from the others.
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._line = await asyncio.shield(self._connecting)
        return self._line

    async def _connect(self) -> _Line:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                _, line = await loop.create_connection(lambda: _Line(self.engine), *self.place)
        except OSError as error:
            raise _away(self.engine, str(error) or type(error).__name__) from error
        try:
            async with asyncio.timeout(self._connect_s):
                said = (await line.ask([b"version\r\n"]))[0].value.decode(errors="replace")
        except BaseException as error:
            line.close("it said nothing")
            if isinstance(error, TimeoutError):
                raise _away(self.engine, "it said nothing") from error
            raise
        if _version(said) < OLDEST:
            line.close("too old")
            oldest = ".".join(map(str, OLDEST))
            raise WrongVersion(engine="memcached", detail=f"{self.engine} is {said}; {oldest} or newer is needed.")
        return line


class _Line(asyncio.Protocol):
    """A connection: what was asked, in order, and the replies as they come."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._asked: deque[_Asked] = deque()
        self._valued: Reply | None = None
        self._size = 0
        self._heard_s = 0.0
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass of it

    async def ask(self, requests: Sequence[bytes]) -> list[Reply]:
        if self.is_closed or self._transport is None:
            raise _away(self._engine, "the connection is closed")
        asked = _Asked(len(requests), self._loop.create_future())
        self._asked.append(asked)
        at_s = self._loop.time()
        self._transport.write(b"".join(requests))
        try:
            return await asked.replies_in
        except asyncio.CancelledError:
            # Where nothing was heard since, what is asked next would wait in vain too.
            if self._heard_s < at_s < self._loop.time() - _SILENT_S:
                self.close("it does not answer")
            raise

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        self._buffer += data
        try:
            while self._take():
                pass
        except (ValueError, IndexError, UnicodeDecodeError):
            self.close("what it says is not the meta protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(str(exc) if exc else "it closed the connection")

    def close(self, why: str) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()
        for asked in self._asked:
            if not asked.replies_in.done():
                asked.replies_in.set_exception(_away(self._engine, why))
        self._asked.clear()

    def _take(self) -> bool:
        """Take one reply, or the value of one, off the line; False where it is not there yet."""
        if self._valued is not None:
            if len(self._buffer) < self._size + 2:
                return False
            self._reply(self._valued._replace(value=bytes(self._buffer[: self._size])))
            del self._buffer[: self._size + 2]
            self._valued = None
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        words = bytes(self._buffer[:end]).split(b" ")
        del self._buffer[: end + 2]
        self._read(words)
        return True

    def _read(self, words: list[bytes]) -> None:
        code = words[0]
        if code == b"VA":
            self._valued, self._size = Reply(code, _flags(words[2:])), int(words[1])
        elif code == b"VERSION":
            self._reply(Reply(code, value=b" ".join(words[1:])))
        elif code in {b"ERROR", b"CLIENT_ERROR"}:
            raise ValueError(code)  # what comes next may be the rest of a request that it did not understand
        else:
            self._reply(Reply(code, _flags(words[1:]) if code != b"SERVER_ERROR" else {}))

    def _reply(self, reply: Reply) -> None:
        asked = self._asked[0]
        asked.replies.append(reply)
        if len(asked.replies) == asked.count:
            self._asked.popleft()
            if not asked.replies_in.done():
                asked.replies_in.set_result(asked.replies)


class _Asked:
    """Some requests, and the replies so far."""

    def __init__(self, count: int, replies_in: asyncio.Future[list[Reply]]) -> None:
        self.count = count
        self.replies_in = replies_in
        self.replies: list[Reply] = []


def _flags(words: list[bytes]) -> dict[str, bytes]:
    return {word[:1].decode(): word[1:] for word in words if word}


def _version(said: str) -> tuple[int, ...]:
    return tuple(int(part) for part in said.split(".")[:3] if part.isdigit())


def _away(engine: str, why: str) -> EngineUnavailable:
    return EngineUnavailable(engine="memcached", detail=f"{engine} does not answer: {why}")
