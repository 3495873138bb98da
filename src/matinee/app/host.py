"""A process that serves targets: its domains, its jobs, its entry in the registry."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from matinee.app.domains import DOMAINS, required_by
from matinee.drivers.asgi import App, Server
from matinee.drivers.engine import EngineState
from matinee.drivers.metrics import Metrics
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import InstanceId
from matinee.mesh.api import Instance
from matinee.mesh.host import Host, Readiness
from matinee.mesh.hosting.addresses import ALL_ADDRESSES, own_address
from matinee.mesh.hosting.domain import Process, Wiring, WorkerOptions
from matinee.mesh.hosting.runtime import Runtime, open_runtime, open_schedules
from matinee.mesh.hosting.settings import Settings
from matinee.mesh.jobs import JobSupervisor
from matinee.mesh.membership import Membership
from matinee.mesh.schedules.scheduler import Scheduler

DRAIN_TIMEOUT_S = 5.0


@contextlib.asynccontextmanager
async def host_targets(
    settings: Settings,
    targets: tuple[str, ...],
    *,
    listener: socket.socket,
    app_listener: socket.socket | None,
    name: str,
    on_engines: Callable[[tuple[EngineState, ...]], None],
) -> AsyncIterator[Server]:
    """Serve targets on a socket; at the end drain, leave the registry, and close everything.

    An application among them, which viewers use, has a socket of its own, so that what is for other processes only
    cannot be reached there. `on_engines` is called when the state of an engine changes. Raises one of
    `drivers.engine.ENGINE_PROBLEMS` where a needed engine cannot be used: the sockets then stay open.
    """
    async with open_runtime(settings, service=name) as runtime, contextlib.AsyncExitStack() as stack:
        process = Process(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        app = await build_targets(process, targets)
        if process.schedules:
            process.jobs["schedules"] = (await _open_scheduler(process)).run
        jobs = _create_supervisor(process.metrics)
        host = _build_host(process, jobs)
        runtime.engines.export(process.metrics)
        _export_dropped_spans(runtime, process.metrics)
        async with Server(host, listener=listener.dup()) as server, _serve_app(app, app_listener) as app_server:
            address = _callable_address(settings.mesh.host, server)
            app_address = _callable_address(settings.mesh.host, app_server) if app_server else ""
            membership = _create_membership(runtime, address, targets, app_address)
            await membership.join()
            engines = runtime.engines
            jobs.start("membership", membership.run)
            jobs.start("engines", lambda: engines.run(lambda: on_engines(engines.states)))
            for name, job in process.jobs.items():
                jobs.start(name, job)
            try:
                yield server
            finally:
                host.drain()
                with contextlib.suppress(Exception):  # without the registry our lease expires by itself
                    await membership.drain()
                await host.wait_until_idle(DRAIN_TIMEOUT_S)
                await jobs.stop()
                with contextlib.suppress(Exception):
                    await membership.leave()


@contextlib.asynccontextmanager
async def host_waiting(reason: str, listener: socket.socket) -> AsyncIterator[None]:
    """Answer health checks on a socket while the process waits for an engine."""
    key = os.urandom(32).hex()  # unknown to all callers: nothing can be called yet
    host = Host(key=key, clock=SystemClock(), metrics=Metrics(), readiness=lambda: Readiness(waiting=reason))
    async with Server(host, listener=listener.dup()):
        yield


@contextlib.asynccontextmanager
async def host_worker(
    settings: Settings,
    target: str,
    name: str,
    options: WorkerOptions,
    on_engines: Callable[[str, tuple[EngineState, ...]], None],
) -> AsyncIterator[str]:
    """Run a target that has processes of its own; yield the URL of its health check.

    It enters the registry, although it is not called through the mesh, to be listed with the other instances.
    """
    domain = DOMAINS[target]
    assert domain.run is not None
    async with open_runtime(settings, service=name) as runtime, contextlib.AsyncExitStack() as stack:
        process = Process(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        await _prepare(process, (target,))
        address = await stack.enter_async_context(domain.run(Wiring(process, domain), options))
        health_url, engines = f"{address}/healthz", runtime.engines
        jobs = _create_supervisor(process.metrics)
        jobs.start("membership", _create_membership(runtime, address, (target,)).run)
        jobs.start("engines", lambda: engines.run(lambda: on_engines(health_url, engines.states)))
        try:
            yield health_url
        finally:
            await jobs.stop()


async def build_targets(process: Process, targets: tuple[str, ...]) -> App | None:
    """Build the services of some targets; return the ASGI application among them."""
    await _prepare(process, targets)
    app: App | None = None
    for domain in (domain for name, domain in DOMAINS.items() if name in targets):
        assert domain.build is not None
        built = process.prepared.get(domain.name) or await domain.build(Wiring(process, domain))
        if domain.protocol is None:
            app = built
        else:
            process.services[domain.name] = built
    return app


async def _prepare(process: Process, targets: tuple[str, ...]) -> None:
    for domain in required_by(targets):
        if domain.prepare and (service := await domain.prepare(Wiring(process, domain))) is not None:
            process.prepared[domain.name] = service


async def _open_scheduler(process: Process) -> Scheduler:
    runtime = process.runtime
    store, engine = await open_schedules(runtime.settings, process.stack)
    runtime.engines.add(engine, used_for="mesh.schedules", needed=False)
    runs = process.metrics.counter("matinee_schedule_runs", "Runs of scheduled work", ("schedule", "outcome"))
    scheduler = Scheduler(
        store=store,
        clock=runtime.clock,
        instance_id=ids.generate(InstanceId, runtime.clock.now()),
        on_run=lambda schedule, outcome: runs.labels(schedule, outcome).inc(),
        tracer=runtime.tracer,
    )
    for name, (expression, work) in process.schedules.items():
        scheduler.add(name, expression, work)
    return scheduler


def _create_supervisor(metrics: Metrics) -> JobSupervisor:
    failures = metrics.counter(
        "matinee_job_failures", "Failures of background jobs, each followed by a restart", ("job",)
    )
    return JobSupervisor(on_failure=lambda job: failures.labels(job).inc())


def _export_dropped_spans(runtime: Runtime, metrics: Metrics) -> None:
    gauge = metrics.gauge("matinee_spans_dropped", "Spans that were lost because they could not be exported in time")
    metrics.set_source(gauge, lambda: runtime.tracer.sink.dropped)


def _serve_app(app: App | None, listener: socket.socket | None) -> AbstractAsyncContextManager[Server | None]:
    """Serve the application, if there is one."""
    if app is None or listener is None:
        return contextlib.nullcontext()
    return Server(app, listener=listener.dup())


def _build_host(process: Process, jobs: JobSupervisor) -> Host:
    return Host(
        key=process.runtime.mesh_key,
        clock=process.runtime.clock,
        metrics=process.metrics,
        services=process.served,
        tracer=process.runtime.tracer,
        readiness=lambda: Readiness(engines=process.runtime.engines.states, jobs=jobs.failing),
    )


def _callable_address(host: str, server: Server) -> str:
    """Return the address on which other processes, possibly on other machines, call this one."""
    return f"http://{own_address()}:{server.port}" if host in ALL_ADDRESSES else server.address


def _create_membership(runtime: Runtime, address: str, targets: Sequence[str], app_address: str = "") -> Membership:
    instance = Instance(
        instance_id=ids.generate(InstanceId, runtime.clock.now()),
        address=address,
        app_address=app_address,
        services=tuple(sorted(targets)),
    )
    return Membership(registry=runtime.registry, instance=instance, clock=runtime.clock)
