"""The data plane: one worker's reactor on non-blocking sockets, `sendfile` from disk to network.

Workers of one edge share a port (SO_REUSEPORT) and a cache directory; the kernel spreads clients over them.
"""

from __future__ import annotations

from matinee.edge.api import EdgeSettings
from matinee.edge.ports import CacheStore, EdgeMetrics, Upstream
from matinee.edge.server.admin import AdminHandler
from matinee.edge.server.connection import ConnectionTimeouts
from matinee.edge.server.delivery import DeliveryHandler
from matinee.edge.server.listener import Listener
from matinee.edge.server.tokens import PathTokenVerifier
from matinee.edge.server.wire import tls_context
from matinee.edge.service import Cache
from matinee.kit.clock import Clock

__all__ = ["EdgeServer"]
_GRACE_S = 5.0


class EdgeServer:
    """One worker of an edge. `port` and `admin_port` are those that were got, once started."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        disk: CacheStore,
        upstream: Upstream,
        metrics: EdgeMetrics,
        clock: Clock,
        shared: bool = False,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._cache = Cache(disk=disk, upstream=upstream, metrics=metrics, timeout_s=settings.upstream_timeout_s)
        limits = ConnectionTimeouts(settings.header_timeout_s, settings.idle_timeout_s, settings.send_timeout_s)
        delivery = DeliveryHandler(
            cache=self._cache, gate=PathTokenVerifier(settings.token_keys, clock), metrics=metrics
        )
        cert, key = settings.tls_cert, settings.tls_key
        self._public = Listener(
            handler=delivery.answer,
            metrics=metrics,
            limits=limits,
            max_connections=settings.max_connections,
            tls=tls_context(cert, key) if cert and key else None,
        )
        admin = AdminHandler(settings, metrics)
        self._admin = Listener(handler=admin.answer, metrics=metrics, limits=limits, max_connections=64)
        self.port = 0
        self.admin_port: int | None = None

    async def start(self) -> None:
        """Take clients. Raises OSError where a port cannot be had."""
        settings = self._settings
        self.port = self._public.start(settings.host, settings.port, reuse_port=self._shared)
        if settings.admin_port is not None:
            self.admin_port = self._admin.start(settings.admin_host, settings.admin_port, reuse_port=self._shared)

    async def stop(self, grace_s: float = _GRACE_S) -> None:
        """Take nobody in any more, let answers end for at most `grace_s`, then close everything."""
        await self._public.stop(grace_s)
        await self._admin.stop(0)
        await self._cache.close()
