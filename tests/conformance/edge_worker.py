"""One worker of an edge as a process of its own: `python -m tests.conformance.edge_worker SETTINGS` (msgspec JSON)."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from matinee.edge.adapters.disk import DiskCacheStore
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.http import HttpUpstream
from matinee.edge.adapters.metrics import FileEdgeMetrics
from matinee.edge.api import EdgeSettings
from matinee.edge.server.worker import run_worker
from matinee.kit.clock import SystemClock


async def main(settings: EdgeSettings) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    key, clock = settings.token_keys[0], SystemClock()
    worker = run_worker(
        settings,
        store=DiskCacheStore(settings.cache_dir, settings.cache_limit_bytes),
        evictor=DiskEvictor(settings.cache_dir, settings.cache_limit_bytes),
        metrics=FileEdgeMetrics(settings.cache_dir),
        upstream=HttpUpstream(settings.upstream, key=key, clock=clock, timeout_s=settings.upstream_timeout_s),
        clock=clock,
        steering=None,
    )
    async with worker as server:
        print(server.port, flush=True)
        await stopping.wait()


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.argv[1], type=EdgeSettings, dec_hook=lambda _, value: Path(value))))
