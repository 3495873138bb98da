"""A whole worker of an edge: server and jobs, until told to stop."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from contextlib import suppress

from matinee.edge.api import EdgeSettings
from matinee.edge.jobs import account_cpu, beat, keep_cache
from matinee.edge.ports import Board, Disk, Keeping, Upstream
from matinee.edge.server import EdgeServer
from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.steering.api import Steering

_log = log.get()


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
) -> None:
    """Run one worker of an edge until `stopping` is set, then let answers end. Raises OSError for a taken port.

    Any number of these, each in a process of its own, share a port and a cache directory.
    """
    _allow_files()
    server = EdgeServer(settings, disk=disk, upstream=upstream, board=board, clock=clock, shared=True)
    await server.start()
    running = [keep_cache(disk=disk, keeping=keeping, board=board), account_cpu(board=board)]
    if steering is not None:
        running.append(beat(settings=settings, port=server.port, keeping=keeping, board=board, steering=steering))
    jobs = [asyncio.create_task(job) for job in running]
    if started is not None:
        started(server)
    _log.info("edge.started", edge_id=settings.edge_id, port=server.port, pid=os.getpid())
    try:
        await stopping.wait()
    finally:
        for job in jobs:
            job.cancel()
        await server.stop()
        await upstream.close()


def _allow_files() -> None:
    """Every client is a file descriptor: take as many as the machine allows us."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS tells of no limit and then refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
