"""The doors: the gateway's HTTP side, and a worker of an edge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from matinee.app import place
from matinee.app.settings import Settings
from matinee.app.targets import PROTOCOLS
from matinee.app.wiring.domains import Parts
from matinee.app.wiring.fabric import EDGE_KEY, fabric
from matinee.drivers.asgi import App
from matinee.edge.api import EdgeSettings
from matinee.edge.ports import Upstream
from matinee.kit import url
from matinee.kit.clock import Clock
from matinee.kit.ids import EdgeId, derived
from matinee.mesh.client import remote


class EdgeWords(msgspec.Struct, frozen=True, kw_only=True):
    """Which worker of which edge a process is."""

    name: str
    port: int
    worker: int = 0


@contextlib.asynccontextmanager
async def edge(settings: Settings, words: EdgeWords) -> AsyncIterator[str]:
    """Run one worker of an edge; gives the address where its health can be asked."""
    from matinee.edge.adapters.board import FileBoard
    from matinee.edge.adapters.disk import CacheDirectory
    from matinee.edge.adapters.keeper import DirectoryKeeper
    from matinee.edge.jobs import run_worker

    async with fabric(settings) as threads:
        plan = _edge_settings(settings, words, threads.secret(EDGE_KEY))
        stopping = asyncio.Event()
        started = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(
            run_worker(
                plan,
                disk=CacheDirectory(plan.cache_dir, limit_bytes=plan.cache_limit_bytes),
                keeping=DirectoryKeeper(plan.cache_dir, plan.cache_limit_bytes),
                board=FileBoard(plan.cache_dir),
                upstream=_upstream(plan, threads.clock),
                clock=threads.clock,
                steering=remote(PROTOCOLS["steering"], "steering", threads.caller, by="edge"),
                stopping=stopping,
                started=started.set_result,
            )
        )
        await asyncio.wait([running, asyncio.ensure_future(started)], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        try:
            yield f"http://127.0.0.1:{started.result().admin_port}/healthz"
        finally:
            stopping.set()
            await running


def _edge_settings(settings: Settings, words: EdgeWords, key: bytes) -> EdgeSettings:
    certificate, private_key = place.certificate(settings) if settings.house.lan else (None, None)
    return EdgeSettings(
        edge_id=derived(EdgeId, settings.house.region, words.name),
        name=words.name,
        region=settings.house.region,
        cache_dir=Path(settings.edge.cache) / words.name,
        cache_limit_bytes=settings.edge.cache_limit_bytes,
        upstream=settings.objects.store,
        token_keys=(key,),
        host="0.0.0.0" if settings.house.lan else "127.0.0.1",  # noqa: S104  # --lan asks for it
        port=words.port,
        admin_port=0,
        base_url=place.edge_url(settings, words.port),
        workers=settings.edge.workers,
        tls_cert=certificate,
        tls_key=private_key,
    )


def _upstream(plan: EdgeSettings, clock: Clock) -> Upstream:
    match url.scheme(plan.upstream):
        case "http" | "https":
            from matinee.edge.adapters.http import HttpUpstream

            return HttpUpstream(plan.upstream, key=plan.token_keys[0], clock=clock, timeout_s=plan.upstream_timeout_s)
        case _:
            from matinee.edge.adapters.objects import ObjectsUpstream

            return ObjectsUpstream(plan.upstream)


async def gateway(parts: Parts) -> App:
    """The public API and the web client as an ASGI application."""
    raise NotImplementedError
