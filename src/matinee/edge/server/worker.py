"""A whole worker of an edge: server and jobs, until told to stop."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from contextlib import suppress

import msgspec

from matinee.edge.api import EdgeSettings
from matinee.edge.jobs import account_cpu, heartbeat, keep_cache
from matinee.edge.ports import Board, Disk, Front, Keeping, Upstream
from matinee.edge.server import EdgeServer
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.steering.api import Steering

_log = log.get()
_GRACE_S = 5.0


async def run_worker(
    settings: EdgeSettings,
    *,
    disk: Disk,
    keeping: Keeping,
    board: Board,
    upstream: Upstream,
    clock: Clock,
    steering: Steering | None,
    stopping: asyncio.Event,
    started: Callable[[EdgeServer], None] | None = None,
    front: Front | None = None,
) -> None:
    """Run one worker of an edge until `stopping` is set, then let answers end. Raises OSError for a taken port.

    Any number of these, each in a process of its own, share a port and a cache directory. With a `front` the worker
    is alone, and its reactor stands on loopback behind it.
    """
    _allow_files()
    own = settings if front is None else _behind(settings)
    server = EdgeServer(own, disk=disk, upstream=upstream, board=board, clock=clock, shared=front is None)
    await server.start()
    running = [account_cpu(board=board)]
    if front is None:
        running.append(keep_cache(disk=disk, keeping=keeping, board=board))
    else:
        await front.start(filler_port=server.port)
        running.append(front.keep())
    port = server.port if front is None else front.port
    if steering is not None:
        running.append(heartbeat(settings=settings, port=port, keeping=keeping, board=board, steering=steering))
    jobs = [asyncio.create_task(job) for job in running]
    if started is not None:
        started(server)
    _log.info("edge.started", edge_id=settings.edge_id, port=port, pid=os.getpid())
    try:
        await stopping.wait()
    finally:
        for job in jobs:
            job.cancel()
        if front is not None:
            await front.stop(_GRACE_S)
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
