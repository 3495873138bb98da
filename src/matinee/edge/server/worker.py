"""Runs one worker of an edge: its server and its jobs."""

from __future__ import annotations

import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec

from matinee.edge.api import EdgeSettings
from matinee.edge.jobs import record_cpu, run_eviction, send_heartbeats
from matinee.edge.ports import CacheStore, DataPlane, EdgeMetrics, Evictor, Upstream
from matinee.edge.server import EdgeServer
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.steering.api import Steering

_log = log.get()
_GRACE_S = 5.0


@asynccontextmanager
async def run_worker(
    settings: EdgeSettings,
    *,
    store: CacheStore,
    evictor: Evictor,
    metrics: EdgeMetrics,
    upstream: Upstream,
    clock: Clock,
    steering: Steering | None,
    data_plane: DataPlane | None = None,
) -> AsyncIterator[EdgeServer]:
    """Run a worker inside the block, then let responses finish. Raises OSError if a port is not available.

    Any number of workers, each in its own process, share a port and a cache directory. With a `data_plane` there is
    one worker, and its server listens on loopback behind it.
    """
    _raise_file_limit()
    own = settings if data_plane is None else behind_data_plane(settings)
    server = EdgeServer(
        own, store=store, upstream=upstream, metrics=metrics, clock=clock, reuse_port=data_plane is None
    )
    await server.start()
    jobs = server.jobs
    jobs.start("cpu", lambda: record_cpu(metrics=metrics))
    if data_plane is None:
        limit_bytes = settings.cache_limit_bytes
        jobs.start(
            "eviction",
            lambda: run_eviction(store=store, evictor=evictor, metrics=metrics, limit_bytes=limit_bytes),
        )
    else:
        await data_plane.start(filler_port=server.port)
        jobs.start("data-plane", data_plane.run)
    port = server.port if data_plane is None else data_plane.port
    if steering is not None:
        jobs.start(
            "heartbeats",
            lambda: send_heartbeats(settings=settings, port=port, evictor=evictor, metrics=metrics, steering=steering),
        )
    _log.info("edge.started", edge_id=settings.edge_id, port=port, pid=os.getpid())
    try:
        yield server
    finally:
        await jobs.stop()
        if data_plane is not None:
            await data_plane.stop(_GRACE_S)
        await server.stop()
        await upstream.close()


def behind_data_plane(settings: EdgeSettings) -> EdgeSettings:
    """Return the settings of the server behind a data plane, which owns the public port and TLS."""
    return msgspec.structs.replace(
        settings, host="127.0.0.1", port=0, tls_cert=None, tls_key=None, max_connections_per_client=0
    )


def _raise_file_limit() -> None:
    """Allow as many open files, and so clients, as the system permits."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS reports no limit and then refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
