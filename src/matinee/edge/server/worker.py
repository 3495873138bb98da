"""A whole worker of an edge: server and jobs, until told to stop."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from contextlib import suppress

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


async def run_worker(
    settings: EdgeSettings,
    *,
    disk: CacheStore,
    evictor: Evictor,
    metrics: EdgeMetrics,
    upstream: Upstream,
    clock: Clock,
    steering: Steering | None,
    stopping: asyncio.Event,
    on_started: Callable[[EdgeServer], None] | None = None,
    data_plane: DataPlane | None = None,
) -> None:
    """Run one worker of an edge until `stopping` is set, then let answers end. Raises OSError for a taken port.

    Any number of these, each in a process of its own, share a port and a cache directory. With a `front` the worker
    is alone, and its reactor stands on loopback behind it.
    """
    _allow_files()
    own = settings if data_plane is None else _behind(settings)
    server = EdgeServer(own, disk=disk, upstream=upstream, metrics=metrics, clock=clock, shared=data_plane is None)
    await server.start()
    running = [record_cpu(metrics=metrics)]
    if data_plane is None:
        running.append(run_eviction(disk=disk, evictor=evictor, metrics=metrics))
    else:
        await data_plane.start(filler_port=server.port)
        running.append(data_plane.keep())
    port = server.port if data_plane is None else data_plane.port
    if steering is not None:
        running.append(
            send_heartbeats(settings=settings, port=port, evictor=evictor, metrics=metrics, steering=steering)
        )
    jobs = [asyncio.create_task(job) for job in running]
    if on_started is not None:
        on_started(server)
    _log.info("edge.started", edge_id=settings.edge_id, port=port, pid=os.getpid())
    try:
        await stopping.wait()
    finally:
        for job in jobs:
            job.cancel()
        if data_plane is not None:
            await data_plane.stop(_GRACE_S)
        await server.stop()
        await upstream.close()


def _behind(settings: EdgeSettings) -> EdgeSettings:
    """The reactor's settings where another takes the clients."""
    return msgspec.structs.replace(settings, host="127.0.0.1", port=0, tls_cert=None, tls_key=None)


def _allow_files() -> None:
    """Every client is a file descriptor: take as many as the machine allows us."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS tells of no limit and then refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
