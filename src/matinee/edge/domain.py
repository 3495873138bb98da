"""The registration of the edge: a target that runs in processes of its own, the workers of an edge."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec

from matinee.edge.api import EdgeSettings
from matinee.edge.ports import DataPlane, Upstream
from matinee.kit import url
from matinee.kit.bounds import Bytes, Count, CountOrZero, Port
from matinee.kit.clock import Clock
from matinee.kit.disk import RESERVE_BYTES
from matinee.kit.ids import EdgeId, derive
from matinee.mesh.hosting import addresses
from matinee.mesh.hosting.domain import Domain, Wiring, WorkerOptions
from matinee.mesh.hosting.settings import BadSettings, check_public_url
from matinee.steering.api import EDGE_LINK_KEY, Steering


class EdgeSection(msgspec.Struct, frozen=True, kw_only=True):
    """The edges that `up` starts: `count` of them on `port`, `port` + 1, …; `workers` processes each.

    `data_plane`: what serves the bytes: `reactor`, our own server, or `nginx` in front of it. `public_url`: the URL of
    an edge behind a proxy or CDN of its own, with `{edge}` for its name (`https://{edge}.example.org`); empty means
    below the front's public URL, or where the edge listens if there is none. `connections_per_client`: the most from
    one address to one worker, or to nginx, which counts those on which it answers a request. 0 means no limit; there is
    none either where a proxy connects for its clients.
    """

    count: Count = 2
    port: Port = 8090
    workers: Count = 1
    data_plane: Literal["reactor", "nginx"] = "reactor"
    cache: str = "{data}/edge"
    cache_limit_bytes: Bytes = 20 << 30
    public_url: str = ""
    # More than any household or player needs.
    connections_per_client: CountOrZero = 256

    def __post_init__(self) -> None:
        if self.public_url:
            check_public_url("edge.public_url", self.public_url, is_edge=True)
            if self.count > 1 and "{edge}" not in self.public_url:
                raise BadSettings(detail="edge.public_url needs {edge}, the name of the edge, where there are several.")


@contextlib.asynccontextmanager
async def _run(wiring: Wiring[EdgeSection], options: WorkerOptions) -> AsyncIterator[str]:
    """Run one worker of an edge and yield its admin address."""
    from matinee.edge.adapters.disk import DiskCacheStore
    from matinee.edge.adapters.evictor import DiskEvictor
    from matinee.edge.adapters.metrics import FileEdgeMetrics
    from matinee.edge.server.worker import run_worker

    settings = _build_worker_settings(wiring, options)
    data_plane = _open_data_plane(wiring.settings, settings)
    # Behind nginx, which caches, the reactor caches nothing.
    cache = (settings.cache_dir, settings.cache_limit_bytes) if not data_plane else (settings.cache_dir / "reactor", 0)
    worker = run_worker(
        settings,
        # Objects that do not fit are served without caching.
        store=DiskCacheStore(*cache, spare_bytes=RESERVE_BYTES),
        evictor=DiskEvictor(*cache),
        metrics=FileEdgeMetrics(settings.cache_dir),
        upstream=_open_upstream(settings, wiring.clock),
        clock=wiring.clock,
        steering=wiring.client(Steering),
        data_plane=data_plane,
    )
    async with worker as server:
        yield f"http://127.0.0.1:{server.admin_port}"


def _build_worker_settings(wiring: Wiring[EdgeSection], options: WorkerOptions) -> EdgeSettings:
    section, deployment = wiring.settings, wiring.deployment
    is_behind_proxy = bool(section.public_url or deployment.public_url)
    pem = addresses.issue_certificate(deployment, wiring.clock).path if deployment.lan else None
    return EdgeSettings(
        edge_id=derive(EdgeId, deployment.region, options.name),
        name=options.name,
        region=deployment.region,
        cache_dir=Path(section.cache) / options.name,
        cache_limit_bytes=section.cache_limit_bytes,
        upstream=wiring.objects.store,
        token_keys=(wiring.runtime.secret(EDGE_LINK_KEY),),
        host=addresses.listen_host(deployment),
        port=options.port,
        admin_port=0,
        base_url=addresses.edge_url(deployment, section.public_url, options.name, options.port),
        address=addresses.internal_url(deployment, options.port),
        max_connections_per_client=section.connections_per_client if deployment.lan and not is_behind_proxy else 0,
        workers=section.workers,
        tls_cert=pem,
        tls_key=pem,
    )


def _open_data_plane(section: EdgeSection, settings: EdgeSettings) -> DataPlane | None:
    if section.data_plane == "reactor":
        return None
    from matinee.edge.adapters.metrics import FileEdgeMetrics
    from matinee.edge.adapters.nginx import NginxDataPlane

    return NginxDataPlane(settings, metrics=FileEdgeMetrics(settings.cache_dir))


def _open_upstream(settings: EdgeSettings, clock: Clock) -> Upstream:
    place, timeout_s = settings.upstream, settings.upstream_timeout_s
    if url.scheme(place) in {"http", "https"}:
        from matinee.edge.adapters.http import HttpUpstream

        return HttpUpstream(place, key=settings.token_keys[0], clock=clock, timeout_s=timeout_s)
    from matinee.edge.adapters.objects import ObjectStoreUpstream

    return ObjectStoreUpstream(place, timeout_s=timeout_s)


DOMAIN = Domain(name="edge", section=EdgeSection, needs=(Steering,), run=_run)
