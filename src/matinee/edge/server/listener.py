"""A listening socket of our own in the event loop, and the connections it brought."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

from matinee.edge.api import EdgeBusy, RequestTooSlow
from matinee.edge.ports import EdgeMetrics, Metric
from matinee.edge.server import responses
from matinee.edge.server.connection import Connection, ConnectionTimeouts, Handler
from matinee.edge.server.wire import PlainWire, TlsWire
from matinee.kit import log

_log = log.get()
_BACKLOG = 1024
_ACCEPTS = 64
_PAUSE_S = 0.1
_SWEEP_S = 1.0


class Listener:
    """Takes clients in on one port until stopped."""

    def __init__(
        self,
        *,
        handler: Handler,
        metrics: EdgeMetrics,
        limits: ConnectionTimeouts,
        max_connections: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._handler = handler
        self._metrics = metrics
        self._limits = limits
        self._max_connections = max_connections
        self._tls = tls
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._sock: socket.socket | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def start(self, host: str, port: int, *, reuse_port: bool) -> int:
        """Listen; tells the port. Raises OSError where it cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._sock.setblocking(False)
        self._sock.bind((host, port))
        self._sock.listen(_BACKLOG)
        self._watch()
        self._sweeper = asyncio.create_task(self._sweep())
        return int(self._sock.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Take nobody in any more, let answers end for at most `grace_s`, then close. Idempotent."""
        if self._sock is None:
            return
        sock, self._sock = self._sock, None
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()
        for task, connection in list(self._open.items()):
            connection.is_leaving = True
            if connection.is_idle:
                task.cancel()
        if self._open:
            await asyncio.wait(list(self._open), timeout=grace_s)
        doomed = [*self._open, *([self._sweeper] if self._sweeper else [])]
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)

    def _watch(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._sock is not None
        for _ in range(_ACCEPTS):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file descriptor left: others must close first
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._sock.fileno())
                loop.call_later(_PAUSE_S, self._watch)
                return
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            wire = PlainWire(sock) if self._tls is None else TlsWire(sock, self._tls)
        except OSError:
            return sock.close()
        connection = Connection(wire, self._handler, self._metrics, self._limits)
        if len(self._open) >= self._max_connections:
            if self._tls is None:
                connection.send_at_once(responses.unasked(EdgeBusy()))
            return wire.sock.close()
        task = asyncio.create_task(connection.serve())
        self._open[task] = connection
        self._metrics.add(Metric.CONNECTIONS)
        task.add_done_callback(self._left)
        return None

    def _left(self, task: asyncio.Task[None]) -> None:
        del self._open[task]
        self._metrics.add(Metric.CONNECTIONS, -1)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("connection.broke", exc_info=error)

    async def _sweep(self) -> None:
        """Part from clients whose time is up."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_s = time.monotonic()
            for task, connection in list(self._open.items()):
                if connection.deadline_s < now_s:
                    if connection.is_inside_request:
                        connection.send_at_once(responses.unasked(RequestTooSlow()))
                    task.cancel()
