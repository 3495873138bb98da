"""The built-in server: one worker's event loop on non-blocking sockets, with `sendfile` from disk to network.

Workers of one edge share a port (SO_REUSEPORT) and a cache directory; the kernel distributes clients among them.
"""

from __future__ import annotations

from matinee.edge.api import EdgeSettings
from matinee.edge.ports import CacheStore, EdgeMetrics, Metric, Upstream
from matinee.edge.server.admin import AdminHandler
from matinee.edge.server.delivery import DeliveryHandler
from matinee.edge.server.links import LinkVerifier
from matinee.edge.server.listener import TcpListener
from matinee.edge.server.transport import tls_context
from matinee.edge.service import EdgeCache
from matinee.kit.clock import Clock
from matinee.mesh.jobs import JobSupervisor

__all__ = ["EdgeServer"]
_GRACE_S = 5.0


class EdgeServer:
    """One worker of an edge. `port` and `admin_port` are known after `start`; `jobs` run beside it."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        store: CacheStore,
        upstream: Upstream,
        metrics: EdgeMetrics,
        clock: Clock,
        jobs: JobSupervisor | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._settings = settings
        self.jobs = jobs or JobSupervisor(on_failure=lambda _: metrics.add(Metric.JOB_FAILURES))
        self._reuse_port = reuse_port
        self._cache = EdgeCache(store=store, upstream=upstream, metrics=metrics, timeout_s=settings.upstream_timeout_s)
        links = LinkVerifier(settings.token_keys, clock)
        delivery = DeliveryHandler(cache=self._cache, links=links, metrics=metrics)
        cert, key = settings.tls_cert, settings.tls_key
        self._public = TcpListener(
            settings,
            handler=delivery.handle,
            metrics=metrics,
            max_connections=settings.max_connections,
            max_per_client=settings.max_connections_per_client,
            tls=tls_context(cert, key) if cert and key else None,
        )
        admin = AdminHandler(settings, metrics, self.jobs)
        self._admin = TcpListener(settings, handler=admin.handle, metrics=metrics, max_connections=64)
        self.port = 0
        self.admin_port: int | None = None

    async def start(self) -> None:
        """Listen on the public and the admin port. Raises OSError if a port is not available."""
        settings, reuse_port = self._settings, self._reuse_port
        self.port = self._public.start(settings.host, settings.port, reuse_port=reuse_port)
        if settings.admin_port is not None:
            self.admin_port = self._admin.start(settings.admin_host, settings.admin_port, reuse_port=reuse_port)

    async def stop(self, grace_s: float = _GRACE_S) -> None:
        """Stop accepting connections, wait at most `grace_s` for responses to finish, then close everything."""
        await self._public.stop(grace_s)
        await self._admin.stop(0)
        await self._cache.close()
