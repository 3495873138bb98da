"""A listening socket in the event loop, and its connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import Counter
from functools import partial

from matinee.edge.api import EdgeBusy, EdgeSettings, RequestTooSlow
from matinee.edge.ports import EdgeMetrics, Metric
from matinee.edge.server import responses
from matinee.edge.server.connection import Connection, Handler
from matinee.edge.server.transport import TlsTransport, Transport
from matinee.kit import log
from matinee.kit.ticks import sleep_until_tick

_log = log.get()
_BACKLOG = 1024
_ACCEPTS_PER_TURN = 64
_ACCEPT_RETRY_S = 0.1
_TIMEOUT_CHECK_S = 1.0
# What the kernel holds of a response beyond what is on its way: it would otherwise keep megabytes for a slow client.
_UNSENT_BYTES = 128 << 10


class TcpListener:
    """Accepts connections on one port until stopped."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        handler: Handler,
        metrics: EdgeMetrics,
        max_connections: int,
        max_per_client: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._metrics = metrics
        self._max_connections = max_connections
        self._max_per_client = max_per_client
        self._by_client: Counter[str] = Counter()
        self._tls = tls
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._sock: socket.socket | None = None
        self._timeout_task: asyncio.Task[None] | None = None

    def start(self, host: str, port: int, *, reuse_port: bool) -> int:
        """Listen; return the port. Raises OSError if it is not available."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if host == "::":
            self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._sock.setblocking(False)
        self._sock.bind((host, port))
        self._sock.listen(_BACKLOG)
        self._watch()
        self._timeout_task = asyncio.create_task(self._check_timeouts())
        return int(self._sock.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, wait at most `grace_s` for responses to finish, then close all connections. Idempotent."""
        if self._sock is None:
            return
        sock, self._sock = self._sock, None
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()
        for task, connection in list(self._open.items()):
            connection.is_closing = True
            if connection.is_idle:
                task.cancel()
        if self._open:
            await asyncio.wait(list(self._open), timeout=grace_s)
        remaining = [*self._open, *([self._timeout_task] if self._timeout_task else [])]
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    def _watch(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._sock is not None
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of file descriptors: other connections must close first
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._sock.fileno())
                loop.call_later(_ACCEPT_RETRY_S, self._watch)
                return
            self._serve(sock, peer[0])

    def _serve(self, sock: socket.socket, client: str) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        try:
            transport = Transport(sock) if self._tls is None else TlsTransport(sock, self._tls)
        except OSError:
            return sock.close()
        connection = Connection(transport, self._handler, self._metrics, self._settings)
        if len(self._open) >= self._max_connections or self._has_too_many(client):
            if self._tls is None:
                connection.send_nowait(responses.format_unsolicited(EdgeBusy()))
            return transport.sock.close()
        task = asyncio.create_task(connection.serve())
        self._open[task] = connection
        self._by_client[client] += 1
        self._metrics.add(Metric.CONNECTIONS)
        task.add_done_callback(partial(self._on_closed, client))
        return None

    def _has_too_many(self, client: str) -> bool:
        return 0 < self._max_per_client <= self._by_client[client]

    def _on_closed(self, client: str, task: asyncio.Task[None]) -> None:
        del self._open[task]
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
        self._metrics.add(Metric.CONNECTIONS, -1)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("connection.failed", exc_info=error)

    async def _check_timeouts(self) -> None:
        """Close connections that are past their deadline."""
        while True:
            await sleep_until_tick(_TIMEOUT_CHECK_S)
            now_s = time.monotonic()
            for task, connection in list(self._open.items()):
                if connection.deadline_s < now_s:
                    if connection.is_inside_request:
                        connection.send_nowait(responses.format_unsolicited(RequestTooSlow()))
                    task.cancel()
