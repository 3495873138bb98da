"""Keeping the front true: instances and edges come and go, keys and certificates turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from matinee.gateway.model.proxy import Endpoint, ProxyConfig, ProxySettings, build_proxy_config
from matinee.gateway.ports import Proxy, UploadStore
from matinee.identity.api import Identity, PublicKeys
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.context import with_timeout
from matinee.steering.api import Steering

T = TypeVar("T")
_log = log.get()
EVERY_S = 1.0
LOOK_MS = 1500
UPLOADS_KEPT = timedelta(days=2)
UPLOADS_EVERY_S = 600.0


class ProxyUpdater:
    """Looks who is there and has the proxy follow. What cannot be looked up stays as it was seen last."""

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
        self._edges: tuple[Endpoint, ...] = ()

    async def update(self) -> bool:
        """Look once; tells whether there is a front to go by. Without keys there is none: nobody could sign in."""
        keys, instances, edges = await asyncio.gather(
            _seen("keys", self._identity.public_keys()),
            _seen("gateways", self._gateways()),
            _seen("edges", self._edge_urls()),
        )
        self._keys = keys or self._keys
        self._instances = _endpoints(instances) if instances is not None else self._instances
        self._edges = _endpoints(edges) if edges is not None else self._edges
        if self._keys is None:
            return False
        await self._apply(
            build_proxy_config(self._settings(), gateways=self._instances, edges=self._edges, keys=self._keys)
        )
        return True

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.update()
            except Exception as error:  # a full disk, say: the proxy goes on with what it has
                _log.warning("front.not_followed", error=repr(error))
            await asyncio.sleep(EVERY_S)

    async def _edge_urls(self) -> list[str]:
        return [edge.report.base_url for edge in await self._steering.list_edges() if edge.health != "gone"]

    async def _apply(self, wanted: ProxyConfig) -> None:
        if await self._proxy.apply(wanted):
            _log.info(
                "front.changed",
                **{cluster.name: [f"{e.host}:{e.port}" for e in cluster.endpoints] for cluster in wanted.clusters},
            )


async def expire_uploads(*, uploads: UploadStore, clock: Clock) -> None:
    """Drop uploads that nobody went on with, until cancelled."""
    while True:
        try:
            if dropped := await uploads.expire(before=clock.now() - UPLOADS_KEPT):
                _log.info("uploads.expired", count=dropped)
        except Exception as error:  # the disk may be away; the next look is soon enough
            _log.warning("uploads.not_expired", error=repr(error))
        await asyncio.sleep(UPLOADS_EVERY_S)


async def _seen(what: str, look: Awaitable[T]) -> T | None:
    try:
        with with_timeout(LOOK_MS):
            async with asyncio.timeout(LOOK_MS / 1000):
                return await look
    except Exception as error:  # whoever is away: the last answer is the best there is
        _log.warning("front.not_seen", what=what, error=repr(error))
        return None


def _endpoints(urls: Sequence[str]) -> tuple[Endpoint, ...]:
    return tuple(sorted({Endpoint.of(url) for url in urls if url}))
