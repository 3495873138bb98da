"""What every process has: the registry, the way to other processes, and the keys it shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import Random
from shutil import disk_usage
from typing import Any

import msgspec

from matinee.app.settings import BadSettings, Settings
from matinee.app.targets import PROTOCOLS
from matinee.app.wiring.health import EngineWatch
from matinee.catalogue.api import Catalogue
from matinee.drivers.engine import EngineUnavailable, StoreFull
from matinee.drivers.http import HttpClient
from matinee.drivers.keyfile import create_once
from matinee.encoding.api import Encoding
from matinee.events.api import Events
from matinee.identity.api import Identity
from matinee.kit import url
from matinee.kit.clock import Clock, SystemClock
from matinee.kit.problem import Problem
from matinee.licensing.api import Licensing
from matinee.mesh.client import MeshClient, bind_remote
from matinee.mesh.membership import Directory
from matinee.mesh.ports import Registry
from matinee.playback.api import Playback
from matinee.steering.api import Steering
from matinee.viewing.api import Viewing

# What playback signs segment links with, and edges check them by.
EDGE_KEY = "edge-links.key"
# With less room than this nobody can renew a lease, and who comes new sees nobody.
FULL_BYTES = 1 << 20
TRIES = 3


class NotRunning(Problem, status=503):
    """Matinee is not running on this data directory."""


class Fabric(msgspec.Struct, frozen=True, kw_only=True):
    """A process's own threads into the whole."""

    settings: Settings
    clock: Clock
    registry: Registry
    directory: Directory
    caller: MeshClient
    mesh_key: str
    engines: EngineWatch

    def secret(self, name: str, size_bytes: int = 32) -> bytes:
        """A secret that all processes share, made at its first use."""
        return create_once(self.settings.secrets / name, lambda: os.urandom(size_bytes))

    def addresses(self, service: str) -> Callable[[], Awaitable[Sequence[str]]]:
        """A function that tells where the instances of a service are that take new calls."""

        async def look() -> Sequence[str]:
            there = self.directory.instances
            return [one.address for one in there if service in one.services and not one.draining]

        return look


class Clients(msgspec.Struct, frozen=True, kw_only=True):
    """Every domain, called through the mesh."""

    events: Events
    catalogue: Catalogue
    identity: Identity
    licensing: Licensing
    viewing: Viewing
    steering: Steering
    encoding: Encoding
    playback: Playback


@contextlib.asynccontextmanager
async def fabric(settings: Settings) -> AsyncIterator[Fabric]:
    """Open the fabric; the directory is followed until the end."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        engines = EngineWatch(clock)
        registry = await _registry(settings, stack, engines)
        directory = Directory(registry=registry, clock=clock)
        await directory.refresh()
        http = await stack.enter_async_context(HttpClient())
        key = create_once(settings.secrets / "mesh.key", lambda: os.urandom(32).hex().encode()).decode()
        caller = MeshClient(http=http, directory=directory, key=key, rng=Random(), limit_ms=settings.mesh.call_ms)  # noqa: S311  # spreads load, guards nothing
        following = asyncio.create_task(directory.run())
        try:
            yield Fabric(
                settings=settings,
                clock=clock,
                registry=registry,
                directory=directory,
                caller=caller,
                mesh_key=key,
                engines=engines,
            )
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _registry(settings: Settings, stack: contextlib.AsyncExitStack, engines: EngineWatch) -> Registry:
    place = settings.mesh.registry
    match url.scheme(place):
        case "memory":
            from matinee.mesh.adapters.memory import MemoryRegistry

            return MemoryRegistry()
        case "sqlite" | "mysql":
            from matinee.drivers.sql import Database
            from matinee.mesh.adapters.sql import SqlRegistry

            database = await stack.enter_async_context(Database(place, backups=settings.data / "backups"))
            engines.add(database, used_for="mesh.registry", needed=False)  # the last list stays in use
            return await SqlRegistry.open(database)
        case "etcd":
            from matinee.drivers.etcd import Etcd
            from matinee.mesh.adapters.etcd import EtcdRegistry

            etcd = await stack.enter_async_context(Etcd(place))
            engines.add(etcd, used_for="mesh.registry", needed=False)  # as above
            kept = await EtcdRegistry.open(etcd)
            stack.push_async_callback(kept.close)
            return kept
        case "kubernetes":
            from matinee.drivers.kubernetes import Kubernetes
            from matinee.mesh.adapters.kubernetes import SLICES, KubernetesRegistry

            try:
                kubernetes = Kubernetes(place, SLICES)
            except ValueError as error:
                raise BadSettings(detail=f"mesh.registry: {error}.") from error
            cluster = await KubernetesRegistry.open(await stack.enter_async_context(kubernetes))
            engines.add(cluster, used_for="mesh.registry", needed=False)  # as above
            stack.push_async_callback(cluster.close)
            return cluster
        case other:
            known = "memory, sqlite, mysql, etcd and kubernetes are known"
            raise BadSettings(detail=f"mesh.registry: there is no registry for {other!r}; {known}.")


@contextlib.asynccontextmanager
async def clients(settings: Settings) -> AsyncIterator[Clients]:
    """Call a running deployment from outside of it. Raises NotRunning; StoreFull where the disk hides who runs."""
    away = NotRunning(detail=f"Matinee is not running on {settings.data}: start it with `make up` or `matinee up`.")
    if url.scheme(settings.mesh.registry) == "sqlite" and not url.file_path(settings.mesh.registry).exists():
        raise away
    async with contextlib.AsyncExitStack() as stack:
        threads = await _entered(settings, stack)
        if not threads.directory.instances:
            if disk_usage(settings.data).free < FULL_BYTES:
                raise StoreFull(detail=f"The disk that holds {settings.data} is full: free some room, then try again.")
            raise away
        yield Clients(**{name: _remote(name, threads.caller) for name in PROTOCOLS})


async def _entered(settings: Settings, stack: contextlib.AsyncExitStack) -> Fabric:
    """The fabric; a registry that is only slow is asked again."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(EngineUnavailable):
            return await stack.enter_async_context(fabric(settings))
    return await stack.enter_async_context(fabric(settings))


def _remote(name: str, caller: MeshClient) -> Any:
    return bind_remote(PROTOCOLS[name], name, caller, caller="cli")
