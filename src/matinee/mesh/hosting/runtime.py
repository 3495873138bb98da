"""What every process has: the registry, a client for calls to other processes, and the shared secrets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec

from matinee.drivers.engine import EngineClient
from matinee.drivers.http import HttpClient
from matinee.drivers.keyfile import create_once
from matinee.drivers.telemetry import Collector, SpanExporter, TraceFile
from matinee.kit import log, url
from matinee.kit.clock import Clock, SystemClock
from matinee.kit.tracing import SpanSink, Tracer
from matinee.mesh.api import Instance
from matinee.mesh.client import MeshClient
from matinee.mesh.executor.ports import Executor
from matinee.mesh.executor.processes import ProcessExecutor
from matinee.mesh.hosting.engines import EngineWatch
from matinee.mesh.hosting.settings import BadSettings, Settings
from matinee.mesh.membership import Directory
from matinee.mesh.ports import Registry

if TYPE_CHECKING:
    from matinee.mesh.schedules.adapters.sql import SqlScheduleStore


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime context of one process."""

    settings: Settings
    clock: Clock
    registry: Registry
    directory: Directory
    client: MeshClient
    mesh_key: str
    engines: EngineWatch
    tracer: Tracer
    executor: Executor

    def secret(self, name: str, size_bytes: int = 32) -> bytes:
        """Return a secret that all processes share, generated at its first use."""
        return create_once(self.settings.deployment.secrets / name, lambda: os.urandom(size_bytes))

    def list_instances(self, service: str) -> Sequence[Instance]:
        """Return a service's instances that take new calls."""
        listed = self.directory.instances
        return [instance for instance in listed if service in instance.services and not instance.draining]


@contextlib.asynccontextmanager
async def open_runtime(
    settings: Settings, *, service: str = "matinee", sink: SpanSink | None = None
) -> AsyncIterator[Runtime]:
    """Open a runtime context, which follows the registry until it is closed.

    Spans name the process by `service`; a `sink` receives them instead of the exporter that the settings name.
    """
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        engines = EngineWatch(clock)
        registry = await _open_registry(settings, stack, engines)
        directory = Directory(registry=registry, clock=clock)
        await directory.refresh()
        http = await stack.enter_async_context(HttpClient())
        key = create_once(settings.deployment.secrets / "mesh.key", lambda: os.urandom(32).hex().encode()).decode()
        rng = Random()  # noqa: S311  # spreads load and chooses samples, protects nothing
        if sink is None:
            sink = await stack.enter_async_context(_export_spans(settings, service, http))
        tracer = Tracer(sink=sink, sampling=settings.telemetry.sampling, clock=clock, rng=rng)
        client = MeshClient(http=http, directory=directory, key=key, rng=rng, limit_ms=settings.mesh.call_ms)
        executor = ProcessExecutor(
            workers=settings.mesh.workers or os.cpu_count() or 1,
            initialise=partial(log.configure, level=settings.deployment.log_level, service=f"{service}.worker"),
        )
        await stack.enter_async_context(executor)
        following = asyncio.create_task(directory.run())
        try:
            yield Runtime(
                settings=settings,
                clock=clock,
                registry=registry,
                directory=directory,
                client=client,
                mesh_key=key,
                engines=engines,
                tracer=tracer,
                executor=executor,
            )
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


@contextlib.asynccontextmanager
async def _export_spans(settings: Settings, service: str, http: HttpClient) -> AsyncIterator[SpanExporter]:
    """Export spans in the background, and at the end what is left of them."""
    telemetry = settings.telemetry
    resource = {
        "service.name": service,
        "service.namespace": "matinee",
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        "deployment.environment.name": settings.deployment.profile,
        "cloud.region": settings.deployment.region,
    }
    file = Path(telemetry.folder, f"{service.replace('/', '-')}.jsonl")
    exporter = SpanExporter(
        Collector(telemetry.otlp_url, http=http, resource=resource)
        if telemetry.otlp_url
        else TraceFile(file, resource=resource, limit_bytes=telemetry.file_bytes)
    )
    exporting = asyncio.create_task(exporter.run())
    try:
        yield exporter
    finally:
        exporting.cancel()
        await asyncio.gather(exporting, return_exceptions=True)
        await exporter.close()


async def _open_registry(settings: Settings, stack: contextlib.AsyncExitStack, engines: EngineWatch) -> Registry:
    """Open the registry. While it is unavailable, the last list of instances stays in use."""
    place = settings.mesh.registry
    match url.scheme(place):
        case "memory":
            from matinee.mesh.adapters.memory import MemoryRegistry

            return MemoryRegistry()
        case "file":
            from matinee.mesh.adapters.files import FileRegistry

            return FileRegistry.open(url.file_path(place))
        case "sqlite" | "mysql":
            from matinee.drivers.sql import Database
            from matinee.mesh.adapters.sql import SqlRegistry

            database = await stack.enter_async_context(Database(place, backups=settings.data / "backups"))
            engines.add(database, used_for="mesh.registry", needed=False)
            return await SqlRegistry.open(database)
        case "etcd":
            from matinee.drivers.etcd import Etcd
            from matinee.mesh.adapters.etcd import EtcdRegistry

            etcd = await stack.enter_async_context(Etcd(place))
            engines.add(etcd, used_for="mesh.registry", needed=False)
            registry = await EtcdRegistry.open(etcd)
            stack.push_async_callback(registry.close)
            return registry
        case "kubernetes":
            from matinee.drivers.kubernetes import Kubernetes
            from matinee.mesh.adapters.kubernetes import SLICES, KubernetesRegistry

            try:
                kubernetes = Kubernetes(place, SLICES)
            except ValueError as error:
                raise BadSettings(detail=f"mesh.registry: {error}.") from error
            cluster = await KubernetesRegistry.open(await stack.enter_async_context(kubernetes))
            engines.add(cluster, used_for="mesh.registry", needed=False)
            stack.push_async_callback(cluster.close)
            return cluster
        case other:
            raise BadSettings(
                detail=f"mesh.registry: {other!r} is not supported; "
                "use file, sqlite, mysql, etcd, kubernetes or memory."
            )


async def open_schedules(settings: Settings, stack: contextlib.AsyncExitStack) -> tuple[SqlScheduleStore, EngineClient]:
    """Open the store of scheduled work. Raises BadSettings for an engine that is not SQL."""
    from matinee.drivers.sql import Database
    from matinee.drivers.sqlite import SMALL_PAGE_BYTES
    from matinee.mesh.schedules.adapters.sql import SqlScheduleStore

    place = settings.mesh.schedules
    if url.scheme(place) not in {"sqlite", "mysql"}:
        raise BadSettings(detail=f"mesh.schedules: {url.scheme(place)!r} is not supported; use sqlite or mysql.")
    database = Database(place, backups=settings.data / "backups", page_bytes=SMALL_PAGE_BYTES)
    await stack.enter_async_context(database)
    return await SqlScheduleStore.open(database), database
