"""A process that hosts targets: its domains, its jobs, its doors, its place in the registry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from matinee.app.settings import Settings
from matinee.app.targets import PROTOCOLS
from matinee.app.wiring.domains import BUILDERS, Parts
from matinee.app.wiring.doors import gateway
from matinee.app.wiring.fabric import Fabric, fabric
from matinee.drivers.asgi import Server
from matinee.drivers.metrics import Metrics
from matinee.kit import ids, log
from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance
from matinee.mesh.host import Host
from matinee.mesh.membership import Membership

DRAIN_S = 5.0
_log = log.get()


@contextlib.asynccontextmanager
async def host(settings: Settings, targets: Sequence[str], *, port: int = 0) -> AsyncIterator[Server]:
    """Serve targets on loopback; at the end drain, leave the registry, and close what was opened."""
    async with fabric(settings) as threads, contextlib.AsyncExitStack() as stack:
        metrics = Metrics()
        parts = Parts(fabric=threads, stack=stack, metrics=metrics)
        for name in PROTOCOLS:
            if name in targets:
                await BUILDERS[name](parts)
        app = await gateway(parts) if "gateway" in targets else None
        serving = Host(key=threads.mesh_key, clock=threads.clock, metrics=metrics, app=app)
        for name, service in parts.built.items():
            serving.serve(name, PROTOCOLS[name], service)
        async with Server(serving, port=port) as server:
            membership = _membership(threads, server.address, targets)
            await membership.join()
            running = [_started(work) for work in (membership.run(), *parts.jobs)]
            try:
                yield server
            finally:
                serving.drain()
                with contextlib.suppress(Exception):  # the registry may be away; our lease then runs out by itself
                    await membership.drain()
                await serving.drained(DRAIN_S)
                await _ended(running)
                with contextlib.suppress(Exception):  # as above
                    await membership.leave()


def _membership(threads: Fabric, address: str, targets: Sequence[str]) -> Membership:
    instance = Instance(
        instance_id=ids.new(InstanceId, threads.clock.now()), address=address, services=tuple(sorted(targets))
    )
    return Membership(registry=threads.registry, instance=instance, clock=threads.clock)


def _started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name=getattr(work, "__qualname__", "job"))
    task.add_done_callback(_say_if_broken)
    return task


def _say_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("job.broken", job=task.get_name(), exc_info=error)


async def _ended(running: list[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
