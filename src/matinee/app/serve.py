"""`matinee serve`: one process of the deployment. An engine that is not well when it starts is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from matinee.app.place import EDGE
from matinee.app.settings import BadSettings, Settings
from matinee.app.supervisor import Lifeline, wait_for_stop
from matinee.app.wiring import host, waiting
from matinee.app.wiring.doors import EdgeWords, edge
from matinee.app.wiring.health import said
from matinee.drivers.asgi import address_of
from matinee.drivers.engine import ENGINE_PROBLEMS
from matinee.kit import log

T = TypeVar("T")
# Between two tries; growing, so that an engine that comes back is not met by everyone again and again.
_PAUSES_S: Final = (0.5, 1.0, 2.0)
_SAY_S: Final = 10.0


async def serve(settings: Settings, targets: Sequence[str], name: str, port: int, edge_words: EdgeWords | None) -> None:
    """Host targets until told to stop."""
    log.configure(level=settings.deployment.log_level, service=name)
    lifeline = Lifeline()
    stopping = asyncio.create_task(wait_for_stop(lifeline))
    if targets == (EDGE,) and edge_words is not None:
        await _edge(settings, edge_words, lifeline, stopping)
    else:
        await _services(settings, targets, port, lifeline, stopping)


async def _edge(settings: Settings, words: EdgeWords, lifeline: Lifeline, stopping: asyncio.Task[None]) -> None:
    async with _patiently(lambda: edge(settings, words, lifeline.report_ready), lifeline, stopping) as health_url:
        if health_url is not None:
            lifeline.report_ready(health_url)
            log.get().info("edge.up", address=health_url)
            await stopping


async def _services(
    settings: Settings, targets: Sequence[str], port: int, lifeline: Lifeline, stopping: asyncio.Task[None]
) -> None:
    with _listening(settings.mesh.host, port) as listening:
        health_url = f"http://{address_of(listening)}/healthz"
        opened = lambda: host(  # noqa: E731  # a context is entered once: each try has one of its own
            settings, targets, listening=listening, told=lambda engines: lifeline.report_ready(health_url, engines)
        )
        async with _patiently(opened, lifeline, stopping, lambda why: waiting(why, listening)) as server:
            if server is not None:
                listening.close()  # the server has its own; once that is closed, nobody shall be able to connect
                lifeline.report_ready(health_url)
                log.get().info("process.up", address=server.address, targets=list(targets))
                await stopping
                log.get().info("process.stopping")


def _listening(host: str, port: int) -> socket.socket:
    """A socket at an address of this machine, or at all of them. Raises BadSettings where it has no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=host == "::")
    except OSError as error:
        raise BadSettings(detail=f"One cannot listen at {host}:{port} (mesh.host): {error.strerror}.") from error


@contextlib.asynccontextmanager
async def _patiently(
    opened: Callable[[], AbstractAsyncContextManager[T]],
    lifeline: Lifeline,
    stopping: asyncio.Task[None],
    meanwhile: Callable[[str], AbstractAsyncContextManager[None]] = lambda why: contextlib.nullcontext(),
) -> AsyncIterator[T | None]:
    """Enter a context, trying again while it raises an engine's trouble; None when told to stop before that."""
    said_of = _Words(lifeline)
    tries = 0
    while not stopping.done():
        async with contextlib.AsyncExitStack() as stack:
            try:
                inner = await stack.enter_async_context(opened())
            except ENGINE_PROBLEMS as trouble:
                why = said(trouble)
            else:
                yield inner
                return
        said_of.waiting(why)
        async with meanwhile(why):
            await asyncio.wait([stopping], timeout=_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
        tries += 1
    yield None


class _Words:
    """What is said while waiting: to the supervisor when it changes, to the log also every ten seconds."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._why = ""
        self._said_s = 0.0

    def waiting(self, why: str) -> None:
        if why != self._why:
            self._lifeline.report_waiting(why)
        if why != self._why or time.monotonic() > self._said_s + _SAY_S:
            log.get().warning("process.waiting", waiting_for=why)
            self._said_s = time.monotonic()
        self._why = why
