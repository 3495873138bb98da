"""A process that hosts targets: its domains, its jobs, its doors, its place in the registry."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from socket import socket
from typing import Any

from matinee.app import place
from matinee.app.settings import Settings
from matinee.app.targets import PROTOCOLS
from matinee.app.wiring.domains import BUILDERS, Parts, open_own
from matinee.app.wiring.doors import gateway
from matinee.app.wiring.fabric import Fabric, fabric
from matinee.drivers.asgi import App, Server
from matinee.drivers.engine import EngineState
from matinee.drivers.metrics import Metrics
from matinee.kit import ids, log
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance
from matinee.mesh.host import Host, Readiness
from matinee.mesh.membership import Membership

DRAIN_S = 5.0
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # looked up, not bound to
_log = log.get()


@contextlib.asynccontextmanager
async def host(
    settings: Settings, targets: Sequence[str], *, listening: socket, told: Callable[[tuple[EngineState, ...]], None]
) -> AsyncIterator[Server]:
    """Serve targets on a socket; at the end drain, leave the registry, and close what was opened.

    `told` is handed how the engines are when that changes. Raises one of `drivers.engine.ENGINE_PROBLEMS` where one that is
    needed is not well: the socket is then still open.
    """
    async with fabric(settings) as threads, contextlib.AsyncExitStack() as stack:
        metrics, engines = Metrics(), threads.engines
        parts = Parts(fabric=threads, stack=stack, metrics=metrics)
        stack.callback(_close, parts.jobs)
        app = await _build(parts, targets)
        serving = Host(
            key=threads.mesh_key,
            clock=threads.clock,
            metrics=metrics,
            app=app,
            readiness=lambda: Readiness(engines=engines.states),
        )
        for name, service in parts.built.items():
            serving.serve(name, PROTOCOLS[name], service)
        engines.show(metrics)
        async with Server(serving, listener=listening.dup()) as server:
            membership = _membership(threads, _called_at(settings.mesh.host, server), targets)
            await membership.join()
            watching = engines.run(lambda: told(engines.states))
            running = [_started(work) for work in (membership.run(), watching, *parts.jobs)]
            try:
                yield server
            finally:
                serving.drain()
                with contextlib.suppress(Exception):  # the registry may be away; our lease then runs out by itself
                    await membership.drain()
                await serving.wait_until_idle(DRAIN_S)
                await _ended(running)
                with contextlib.suppress(Exception):  # as above
                    await membership.leave()


@contextlib.asynccontextmanager
async def waiting(trouble: str, listening: socket) -> AsyncIterator[None]:
    """Answer on a socket, until there is more to serve, that one is alive and what is waited for."""
    key = os.urandom(32).hex()  # nobody has it: there is nothing to be called yet
    idle = Host(key=key, clock=SystemClock(), metrics=Metrics(), readiness=lambda: Readiness(waiting=trouble))
    async with Server(idle, listener=listening.dup()):
        yield


async def _build(parts: Parts, targets: Sequence[str]) -> App | None:
    await open_own(parts, targets)
    for name in PROTOCOLS:
        if name in targets:
            await BUILDERS[name](parts)
    return await gateway(parts) if "gateway" in targets else None


def _close(jobs: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Those that were never started would be complained of; to the others this is nothing."""
    for job in jobs:
        with contextlib.suppress(RuntimeError, ValueError):
            job.close()


def _called_at(host: str, server: Server) -> str:
    """Where other processes, on this machine or another, call one that listens there."""
    return f"http://{place.own_address()}:{server.port}" if host in EVERYWHERE else server.address


def _membership(threads: Fabric, address: str, targets: Sequence[str]) -> Membership:
    instance = Instance(
        instance_id=ids.generate(InstanceId, threads.clock.now()), address=address, services=tuple(sorted(targets))
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
