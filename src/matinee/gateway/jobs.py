"""Background work of the gateway: update the proxy, expire uploads."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from matinee.gateway.model.proxy import EDGE_PATH, Endpoint, ProxyConfig, ProxySettings, build_proxy_config, to_origin
from matinee.gateway.ports import Proxy, UploadStore
from matinee.identity.api import Identity, PublicKeys
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.context import with_timeout
from matinee.kit.ticks import sleep_until_tick
from matinee.mesh.api import Instance
from matinee.steering.api import EdgeReport, Health, Steering

T = TypeVar("T")
_log = log.get()
_UPDATE_INTERVAL_S = 1.0
_REPEAT_S = 30.0
_QUERY_TIMEOUT_MS = 1500
UPLOAD_TTL = timedelta(days=2)
# A name becomes a part of a path and of a file's name.
_EDGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ProxyUpdater:
    """Updates the proxy as instances, edges, keys and certificates change.

    What cannot be queried keeps its last known value.
    """

    def __init__(
        self,
        *,
        proxy: Proxy,
        settings: Callable[[], ProxySettings],
        gateways: Callable[[], Sequence[Instance]],
        identity: Identity,
        steering: Steering,
    ) -> None:
        self._proxy = proxy
        self._settings = settings
        self._gateways = gateways
        self._identity = identity
        self._steering = steering
        self._keys: PublicKeys | None = None
        self._edges: tuple[EdgeReport, ...] = ()
        self._applied: ProxyConfig | None = None
        self._applied_at_s = 0.0

    def edge_origins(self) -> tuple[str, ...]:
        """Return the origins of the edges, as last queried."""
        return tuple(sorted({to_origin(edge.base_url) for edge in self._edges}))

    async def update(self) -> bool:
        """Update the proxy once; return whether it could be configured, which requires keys to verify tokens."""
        keys, edges = await asyncio.gather(
            _try_query("keys", self._identity.public_keys()), _try_query("edges", self._list_edges())
        )
        self._keys = keys or self._keys
        self._edges = tuple(edges) if edges is not None else self._edges
        if self._keys is None:
            return False
        config = build_proxy_config(
            self._settings(),
            gateways=[_find_app(instance) for instance in self._gateways()],
            edges=_to_endpoints([edge.address or edge.base_url for edge in self._edges]),
            named_edges=_group_by_name(self._edges),
            keys=self._keys,
        )
        # Files that somebody changed are written again too, but not at every interval.
        if config == self._applied and time.monotonic() < self._applied_at_s + _REPEAT_S:
            return True
        is_changed = await self._proxy.apply(config)
        self._applied, self._applied_at_s = config, time.monotonic()
        if is_changed:
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
            await sleep_until_tick(_UPDATE_INTERVAL_S)

    async def _list_edges(self) -> list[EdgeReport]:
        edges = await self._steering.list_edges()
        return [edge.report for edge in edges if edge.health != Health.UNAVAILABLE and edge.report.base_url]


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


def _find_app(instance: Instance) -> Endpoint:
    """Return where an instance's application is reached. One of an older version serves all at one address."""
    internal = Endpoint.from_url(instance.address)
    if not instance.app_address:
        return internal
    app = Endpoint.from_url(instance.app_address)
    return Endpoint(app.host, app.port, health_port=internal.port)


def _to_endpoints(urls: Sequence[str]) -> tuple[Endpoint, ...]:
    return tuple(sorted({Endpoint.from_url(url) for url in urls if url}))


def _group_by_name(edges: Sequence[EdgeReport]) -> dict[str, list[Endpoint]]:
    """Return the addresses of the edges that clients reach through the front, by their names."""
    found: dict[str, list[Endpoint]] = {}
    for edge in edges:
        is_behind_front = edge.base_url.endswith(f"{EDGE_PATH}{edge.name}")
        if is_behind_front and edge.address and _EDGE_NAME.fullmatch(edge.name):
            found.setdefault(edge.name, []).append(Endpoint.from_url(edge.address))
    return found
