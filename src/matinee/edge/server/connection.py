"""One client's connection: its requests in order, its responses, its timeouts."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from matinee.edge.api import EdgeSettings
from matinee.edge.ports import EdgeMetrics, Metric
from matinee.edge.server.requests import Request, RequestReader
from matinee.edge.server.transport import WOULD_BLOCK, Transport
from matinee.edge.service import FillInterrupted, ObjectSource

_RECEIVE_BYTES = 16 << 10
_PUSHES_PER_TURN = 4
_PROGRESS_BYTES = 32 << 10
_LINGER_S = 1.0
_NEVER = float("inf")


# Answers a request on a connection; returns whether the connection may stay open.
Handler = Callable[["Connection", Request], Awaitable[bool]]


class Connection:
    """A client's socket in the event loop. One task reads and answers; bytes are sent in callbacks."""

    def __init__(self, transport: Transport, handler: Handler, metrics: EdgeMetrics, settings: EdgeSettings) -> None:
        self._transport = transport
        self._fd = transport.sock.fileno()
        self._handler = handler
        self._metrics = metrics
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._received: asyncio.Future[bytes] | None = None
        self._is_watching = False
        self._progress_bytes = 0
        self.deadline_s = 0.0
        self.is_idle = True
        self.is_closing = False

    async def serve(self) -> None:
        """Answer requests until either side closes the connection."""
        try:
            self._extend_deadline(self._settings.header_timeout_s)
            await self._handshake()
            while (request := await self._read_request()) is not None:
                self.is_idle = False
                self.deadline_s = _NEVER
                if not await self._handler(self, request) or self.is_closing:
                    await self._linger()
                    return
                self.is_idle = True
        except (OSError, FillInterrupted):
            self._metrics.add(Metric.ABORTED)
        finally:
            self._close()

    @property
    def is_inside_request(self) -> bool:
        """Whether the client has sent a part of a request."""
        return self.is_idle and self._reader.is_inside

    def send_nowait(self, data: bytes) -> None:
        """Send the bytes that the socket takes without waiting."""
        with suppress(OSError):
            self._transport.send(data, more=False)

    async def send(self, data: bytes, *, more: bool = False) -> None:
        """Send bytes. `more` announces that others follow immediately."""
        self._extend_deadline(self._settings.send_timeout_s)
        try:
            sent = self._transport.send(data, more=more)
        except WOULD_BLOCK:
            sent = 0
        view = memoryview(data)
        if sent < len(data):
            await self._send_rest(lambda at, n: self._transport.send(view[at : at + n], more=False), sent, len(data))
        self._metrics.add(Metric.SENT_BYTES, len(data))

    async def send_source(self, source: ObjectSource, start: int, stop: int) -> None:
        """Send bytes of an object, waiting for those that have not arrived. Raises FillInterrupted."""
        file, base, at = source.file, source.offset, start
        assert file is not None
        fd = file.fd
        while at < stop:
            if source.available_bytes <= at:
                self.deadline_s = _NEVER  # waiting for the origin, not for the client
                await source.wait_for(at + 1)
            until = min(stop, source.available_bytes)
            self._extend_deadline(self._settings.send_timeout_s)
            await self._send_rest(lambda done, count: self._transport.send_file(fd, base + done, count), at, until)
            self._metrics.add(Metric.SENT_BYTES, until - at)
            at = until

    async def send_stream(self, pieces: AsyncIterator[bytes], count: int) -> None:
        """Send exactly `count` bytes of a stream. Raises FillInterrupted if it has fewer."""
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
                return self._transport.handshake()
            except WOULD_BLOCK:
                ready: asyncio.Future[None] = self._loop.create_future()
                self._loop.add_reader(self._fd, _resolve, ready)
                try:
                    await ready
                finally:
                    self._loop.remove_reader(self._fd)

    async def _read_request(self) -> Request | None:
        self._extend_deadline(
            self._settings.idle_timeout_s if not self._reader.is_inside else self._settings.header_timeout_s
        )
        while (request := self._reader.next()) is None:
            if not (data := await self._receive()):
                return None
            if not self._reader.is_inside:
                self._extend_deadline(self._settings.header_timeout_s)
            self._reader.feed(data)
        return request

    async def _receive(self) -> bytes:
        """Receive bytes. The reader callback stays registered between requests, which saves two system calls each."""
        if not self._is_watching or self._transport.buffers_input:
            with suppress(*WOULD_BLOCK):
                return self._transport.receive(_RECEIVE_BYTES)
        if not self._is_watching:
            self._loop.add_reader(self._fd, self._on_readable)
            self._is_watching = True
        self._received = self._loop.create_future()
        return await self._received

    def _on_readable(self) -> None:
        received = self._received
        if received is None or received.done():
            # The client sends while a response is in progress: read it afterwards.
            self._loop.remove_reader(self._fd)
            self._is_watching = False
            return
        try:
            data = self._transport.receive(_RECEIVE_BYTES)
        except WOULD_BLOCK:
            return
        except OSError as error:
            received.set_exception(error)
        else:
            received.set_result(data)
        self._received = None

    async def _send_rest(self, send: Callable[[int, int], int], at: int, stop: int) -> None:
        """Send bytes `at` to `stop`, waiting whenever the socket is full."""
        at = self._push(send, at, stop)
        if at == stop:
            return
        done: asyncio.Future[None] = self._loop.create_future()

        def on_writable() -> None:
            nonlocal at
            try:
                at = self._push(send, at, stop)
            except OSError as error:
                _resolve(done, error)
            if at == stop:
                _resolve(done)

        self._loop.add_writer(self._fd, on_writable)
        try:
            await done
        finally:
            self._loop.remove_writer(self._fd)

    def _push(self, send: Callable[[int, int], int], at: int, stop: int) -> int:
        """Send until the socket is full or other connections must run; return the new position."""
        began = at
        try:
            for _ in range(_PUSHES_PER_TURN):
                if (sent := send(at, stop - at)) == 0:
                    raise OSError("the file has become shorter")
                if (at := at + sent) == stop:
                    break
        except WOULD_BLOCK:
            pass
        self._progress_bytes += at - began
        if self._progress_bytes >= _PROGRESS_BYTES:
            self._extend_deadline(self._settings.send_timeout_s)
        return at

    def _extend_deadline(self, seconds: float) -> None:
        self._progress_bytes = 0
        self.deadline_s = time.monotonic() + seconds

    async def _linger(self) -> None:
        """Read what the client still sends: closing a socket with unread bytes would discard the response."""
        self._extend_deadline(_LINGER_S)
        with suppress(OSError):
            self._transport.sock.shutdown(socket.SHUT_WR)
            until_s = self._loop.time() + _LINGER_S
            while self._loop.time() < until_s and await self._receive():
                pass

    def _close(self) -> None:
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._transport.sock.close()


def _resolve(future: asyncio.Future[None], error: Exception | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
