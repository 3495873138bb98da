"""Background work of the gateway: update the proxy, expire uploads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from matinee.gateway.model.proxy import Endpoint, ProxySettings, build_proxy_config, to_origin
from matinee.gateway.ports import Proxy, UploadStore
from matinee.identity.api import Identity, PublicKeys
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.context import with_timeout
from matinee.steering.api import Health, Steering

T = TypeVar("T")
_log = log.get()
_UPDATE_INTERVAL_S = 1.0
_QUERY_TIMEOUT_MS = 1500
UPLOAD_TTL = timedelta(days=2)


class ProxyUpdater:
    """Updates the proxy as instances, edges, keys and certificates change.

    What cannot be queried keeps its last known value.
    """

    def __init__(
        self,
        *,
        proxy: Proxy,
        settings: Callable[[], ProxySettings],
        gateways: Callable[[], Awaitable[Sequence[str]]],
        identity: Identity,
        steering: Steering,
    ) -> None:
        self._proxy = proxy
        self._settings = settings
        self._gateways = gateways
        self._identity = identity
        self._steering = steering
        self._keys: PublicKeys | None = None
        self._instances: tuple[Endpoint, ...] = ()
        self._edges: tuple[str, ...] = ()

    def edge_origins(self) -> tuple[str, ...]:
        """Return the origins of the edges, as last queried."""
        return tuple(sorted({to_origin(url) for url in self._edges}))

    async def update(self) -> bool:
        """Update the proxy once; return whether it could be configured, which requires keys to verify tokens."""
        keys, instances, edges = await asyncio.gather(
            _try_query("keys", self._identity.public_keys()),
            _try_query("gateways", self._gateways()),
            _try_query("edges", self._list_edges()),
        )
        self._keys = keys or self._keys
        self._instances = _to_endpoints(instances) if instances is not None else self._instances
        self._edges = tuple(url for url in edges if url) if edges is not None else self._edges
        if self._keys is None:
            return False
        edge_endpoints = _to_endpoints(self._edges)
        config = build_proxy_config(self._settings(), gateways=self._instances, edges=edge_endpoints, keys=self._keys)
        if await self._proxy.apply(config):
            endpoints = {c.name: [f"{e.host}:{e.port}" for e in c.endpoints] for c in config.clusters}
            _log.info("proxy.updated", **endpoints)
        return True

    async def run(self) -> None:
        """Update the proxy until cancelled."""
        while True:
            try:
                await self.update()
            except Exception as error:  # for example a full disk: the proxy keeps its configuration
                _log.warning("proxy.update_failed", error=repr(error))
            await asyncio.sleep(_UPDATE_INTERVAL_S)

    async def _list_edges(self) -> list[str]:
        return [edge.report.base_url for edge in await self._steering.list_edges() if edge.health != Health.UNAVAILABLE]


async def expire_uploads(*, uploads: UploadStore, clock: Clock) -> None:
    """Delete abandoned uploads."""
    if expired := await uploads.expire(before=clock.now() - UPLOAD_TTL):
        _log.info("uploads.expired", count=expired)


async def _try_query(subject: str, query: Awaitable[T]) -> T | None:
    try:
        with with_timeout(_QUERY_TIMEOUT_MS):
            async with asyncio.timeout(_QUERY_TIMEOUT_MS / 1000):
                return await query
    except Exception as error:
        _log.warning("proxy.query_failed", subject=subject, error=repr(error))
        return None


def _to_endpoints(urls: Sequence[str]) -> tuple[Endpoint, ...]:
    return tuple(sorted({Endpoint.from_url(url) for url in urls if url}))
