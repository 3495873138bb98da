"""`matinee serve`: one process of the deployment. At its start it waits for engines that cannot be used yet."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Final, TypeVar

from matinee.app.domains import DOMAINS
from matinee.app.host import host_targets, host_waiting, host_worker
from matinee.app.lifeline import Lifeline, wait_for_stop
from matinee.drivers.asgi import address_of, listen
from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.kit import log, url
from matinee.mesh.hosting.domain import WorkerOptions
from matinee.mesh.hosting.engines import describe_problem
from matinee.mesh.hosting.settings import BadSettings, Settings

T = TypeVar("T")
# The pauses grow, so that an engine that recovers is not flooded by all processes.
_PAUSES_S: Final = (0.5, 1.0, 2.0)
_LOG_INTERVAL_S: Final = 10.0


async def serve_targets(settings: Settings, targets: tuple[str, ...], name: str, port: int, app_port: int) -> None:
    """Serve targets until stopped."""
    log.configure(level=settings.deployment.log_level, service=name)
    lifeline = Lifeline()
    stopping = asyncio.create_task(wait_for_stop(lifeline))
    with _listen(settings, port) as listener, _listen_for_app(settings, targets, app_port) as app_listener:
        health_url = f"http://{address_of(listener)}/healthz"
        open_host = partial(  # each attempt needs a new context manager
            host_targets,
            settings,
            targets,
            listener=listener,
            app_listener=app_listener,
            name=name,
            on_engines=lambda engines: lifeline.report_ready(health_url, engines),
        )
        async with _retry(open_host, lifeline, stopping, lambda reason: host_waiting(reason, listener)) as server:
            if server is not None:
                for each in filter(None, (listener, app_listener)):
                    each.close()  # the server has a duplicate; once that is closed, connections must be refused
                lifeline.report_ready(health_url)
                log.get().info("process.up", address=server.address, targets=list(targets))
                await stopping
                log.get().info("process.stopping")


async def serve_worker(settings: Settings, target: str, name: str, options: WorkerOptions) -> None:
    """Run a target that has processes of its own until stopped."""
    log.configure(level=settings.deployment.log_level, service=name)
    lifeline = Lifeline()
    stopping = asyncio.create_task(wait_for_stop(lifeline))
    open_worker = partial(host_worker, settings, target, name, options, lifeline.report_ready)
    async with _retry(open_worker, lifeline, stopping) as health_url:
        if health_url is not None:
            lifeline.report_ready(health_url)
            log.get().info(f"{target}.up", address=health_url)
            await stopping


def _listen(settings: Settings, port: int) -> socket.socket:
    """Listen at `mesh.host`. Raises BadSettings."""
    host = settings.mesh.host
    try:
        return listen(host, port)
    except OSError as error:
        raise BadSettings(detail=f"Cannot listen on port {port} of {host} (mesh.host): {error.strerror}.") from error


def _listen_for_app(
    settings: Settings, targets: tuple[str, ...], port: int
) -> AbstractContextManager[socket.socket | None]:
    """Listen for requests to the application, if a target has one. Raises BadSettings."""
    if all(DOMAINS[target].protocol for target in targets):
        return contextlib.nullcontext()
    if port == 0 and url.scheme(settings.mesh.registry) == "kubernetes":
        raise BadSettings(detail="Kubernetes has to know the port of the application: name it with --app-port.")
    return _listen(settings, port)


@contextlib.asynccontextmanager
async def _retry(
    open_context: Callable[[], AbstractAsyncContextManager[T]],
    lifeline: Lifeline,
    stopping: asyncio.Task[None],
    meanwhile: Callable[[str], AbstractAsyncContextManager[None]] = lambda reason: contextlib.nullcontext(),
) -> AsyncIterator[T | None]:
    """Enter a context, retrying while it raises an engine's problem; yield None when stopped before that."""
    reporter = _WaitReporter(lifeline)
    pauses_s = itertools.chain(_PAUSES_S, itertools.repeat(_PAUSES_S[-1]))
    while not stopping.done():
        async with contextlib.AsyncExitStack() as stack:
            try:
                inner = await stack.enter_async_context(open_context())
            except ENGINE_PROBLEMS as problem:
                reason = describe_problem(problem)
            else:
                yield inner
                return
        reporter.report(reason)
        async with meanwhile(reason):
            await asyncio.wait([stopping], timeout=next(pauses_s))
    yield None


class _WaitReporter:
    """Reports the reason for waiting: to the supervisor when it changes, to the log also every ten seconds."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._reason = ""
        self._logged_s = 0.0

    def report(self, reason: str) -> None:
        if reason != self._reason:
            self._lifeline.report_waiting(reason)
        if reason != self._reason or time.monotonic() > self._logged_s + _LOG_INTERVAL_S:
            log.get().warning("process.waiting", waiting_for=reason)
            self._logged_s = time.monotonic()
        self._reason = reason
