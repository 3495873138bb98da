"""One client's connection: its requests one after another, its answers, its time limits."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import msgspec

from matinee.edge.ports import EdgeMetrics, Metric
from matinee.edge.server.requests import Request, RequestReader
from matinee.edge.server.wire import Wire
from matinee.edge.service import FillInterrupted, ObjectSource

_RECEIVE_BYTES = 16 << 10
_PUSHES = 4
_PROGRESS_BYTES = 32 << 10
_LINGER_S = 1.0
_NEVER = float("inf")


class ConnectionTimeouts(msgspec.Struct, frozen=True):
    """How long a client may take, in seconds: for a request, between requests, and for every 32 KiB of an answer."""

    header_s: float
    idle_s: float
    send_s: float


# Answers a request over the connection; tells whether the connection may go on.
Handler = Callable[["Connection", Request], Awaitable[bool]]


class Connection:
    """A socket of ours in the event loop. One task reads and answers; the sending itself is done in callbacks."""

    def __init__(self, wire: Wire, handler: Handler, metrics: EdgeMetrics, limits: ConnectionTimeouts) -> None:
        self._wire = wire
        self._fd = wire.sock.fileno()
        self._handler = handler
        self._metrics = metrics
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._arrival: asyncio.Future[bytes] | None = None
        self._is_reading = False
        self._marked_at = 0
        self.deadline_s = 0.0
        self.is_idle = True
        self.is_leaving = False

    async def serve(self) -> None:
        """Answer requests until either side has had enough."""
        try:
            self._allow(self._limits.header_s)
            await self._handshake()
            while (request := await self._next_request()) is not None:
                self.is_idle = False
                self.deadline_s = _NEVER
                if not await self._handler(self, request) or self.is_leaving:
                    await self._linger()
                    return
                self.is_idle = True
        except (OSError, FillInterrupted):
            self._metrics.add(Metric.ABORTED)
        finally:
            self._close()

    @property
    def is_inside_request(self) -> bool:
        """Whether the client is in the middle of asking."""
        return self.is_idle and self._reader.is_inside

    def send_at_once(self, data: bytes) -> None:
        """Send what fits without waiting: a last word."""
        with suppress(OSError):
            self._wire.send(data, more=False)

    async def send(self, data: bytes, *, more: bool = False) -> None:
        """Send bytes. `more` promises that others follow at once."""
        self._allow(self._limits.send_s)
        try:
            sent = self._wire.send(data, more=more)
        except BlockingIOError:
            sent = 0
        view = memoryview(data)
        if sent < len(data):
            await self._pushed(lambda at, count: self._wire.send(view[at : at + count], more=False), sent, len(data))
        self._metrics.add(Metric.SENT_BYTES, len(data))

    async def send_source(self, source: ObjectSource, start: int, stop: int) -> None:
        """Send an object's bytes, waiting for those that are still to come. Raises FillInterrupted."""
        file, base, at = source.file, source.offset, start
        assert file is not None
        fd = file.fd
        while at < stop:
            if source.available <= at:
                self.deadline_s = _NEVER  # it is not the client that we wait for
                await source.reach(at + 1)
            until = min(stop, source.available)
            self._allow(self._limits.send_s)
            await self._pushed(lambda done, count: self._wire.send_file(fd, base + done, count), at, until)
            self._metrics.add(Metric.SENT_BYTES, until - at)
            at = until

    async def send_pieces(self, pieces: AsyncIterator[bytes], count: int) -> None:
        """Send exactly `count` bytes out of a stream. Raises FillInterrupted where it has fewer."""
        async for piece in pieces:
            await self.send(piece[:count])
            count -= min(count, len(piece))
            if count == 0:
                return
            self.deadline_s = _NEVER
        if count:
            raise FillInterrupted

    async def _handshake(self) -> None:
        while True:
            try:
                return self._wire.handshake()
            except BlockingIOError:
                ready: asyncio.Future[None] = self._loop.create_future()
                self._loop.add_reader(self._fd, _settle, ready)
                try:
                    await ready
                finally:
                    self._loop.remove_reader(self._fd)

    async def _next_request(self) -> Request | None:
        self._allow(self._limits.idle_s if not self._reader.is_inside else self._limits.header_s)
        while (request := self._reader.next()) is None:
            if not (data := await self._receive()):
                return None
            if not self._reader.is_inside:
                self._allow(self._limits.header_s)
            self._reader.feed(data)
        return request

    async def _receive(self) -> bytes:
        """Bytes from the client. The loop's watch stays on between requests: taking it off and on costs two calls."""
        if not self._is_reading or self._wire.keeps_bytes:
            with suppress(BlockingIOError):
                return self._wire.receive(_RECEIVE_BYTES)
        if not self._is_reading:
            self._loop.add_reader(self._fd, self._on_readable)
            self._is_reading = True
        self._arrival = self._loop.create_future()
        return await self._arrival

    def _on_readable(self) -> None:
        arrival = self._arrival
        if arrival is None or arrival.done():
            self._loop.remove_reader(self._fd)  # it talks while we answer: that waits until we have
            self._is_reading = False
            return
        try:
            data = self._wire.receive(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            arrival.set_exception(error)
        else:
            arrival.set_result(data)
        self._arrival = None

    async def _pushed(self, push: Callable[[int, int], int], at: int, stop: int) -> None:
        """Push bytes `at` to `stop` out, coming back whenever the socket takes more."""
        at = self._push(push, at, stop)
        if at == stop:
            return
        done: asyncio.Future[None] = self._loop.create_future()

        def go_on() -> None:
            nonlocal at
            try:
                at = self._push(push, at, stop)
            except OSError as error:
                _settle(done, error)
            if at == stop:
                _settle(done)

        self._loop.add_writer(self._fd, go_on)
        try:
            await done
        finally:
            self._loop.remove_writer(self._fd)

    def _push(self, push: Callable[[int, int], int], at: int, stop: int) -> int:
        """Push until the socket is full, or others should have their turn."""
        began = at
        try:
            for _ in range(_PUSHES):
                if (sent := push(at, stop - at)) == 0:
                    raise OSError("the file is shorter than it was")
                if (at := at + sent) == stop:
                    break
        except BlockingIOError:
            pass
        self._marked_at += at - began
        if self._marked_at >= _PROGRESS_BYTES:
            self._allow(self._limits.send_s)
        return at

    def _allow(self, seconds: float) -> None:
        self._marked_at = 0
        self.deadline_s = time.monotonic() + seconds

    async def _linger(self) -> None:
        """Let the client read our last answer: closing on unread bytes would take it from its hands."""
        self._allow(_LINGER_S)
        with suppress(OSError):
            self._wire.sock.shutdown(socket.SHUT_WR)
            until_s = self._loop.time() + _LINGER_S
            while self._loop.time() < until_s and await self._receive():
                pass

    def _close(self) -> None:
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._wire.sock.close()


def _settle(future: asyncio.Future[None], error: Exception | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
