"""Clients of a running deployment, for commands and tools outside of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from shutil import disk_usage
from typing import TypeVar

from matinee.app.domains import PROTOCOLS
from matinee.drivers.engine import EngineUnavailable, StoreFull
from matinee.kit import url
from matinee.kit.problem import Problem
from matinee.mesh.client import MeshClient, bind_remote
from matinee.mesh.hosting.runtime import Runtime, open_runtime
from matinee.mesh.hosting.settings import Settings

T = TypeVar("T")
# With less free space no instance can register, so that the registry appears empty.
MIN_FREE_BYTES = 1 << 20
ATTEMPTS = 3


class NotRunning(Problem, status=503):
    """Matinee is not running on this data directory."""


class Clients:
    """Clients of every domain, by its Protocol."""

    def __init__(self, client: MeshClient) -> None:
        self._client = client
        self._names = {protocol: name for name, protocol in PROTOCOLS.items()}

    def get(self, protocol: type[T]) -> T:
        """Return the client of a domain."""
        client: T = bind_remote(protocol, self._names[protocol], self._client, caller="cli")
        return client


def check_started(settings: Settings, place: str) -> None:
    """Raise NotRunning when the file or folder of a setting does not exist, as before the first start."""
    if url.scheme(place) in {"sqlite", "file"} and not url.file_path(place).exists():
        raise _not_running(settings)


def _not_running(settings: Settings) -> NotRunning:
    detail = f"Matinee is not running on {settings.data}: start it with `make up` or `matinee up`."
    return NotRunning(detail=detail)


@contextlib.asynccontextmanager
async def open_clients(settings: Settings) -> AsyncIterator[Clients]:
    """Connect to a running deployment. Raises NotRunning, or StoreFull where a full disk hides the instances."""
    check_started(settings, settings.mesh.registry)
    async with contextlib.AsyncExitStack() as stack:
        runtime = await _open_runtime(settings, stack)
        if not runtime.directory.instances:
            if disk_usage(settings.data).free < MIN_FREE_BYTES:
                raise StoreFull(detail=f"The disk that holds {settings.data} is full: free some space, then try again.")
            raise _not_running(settings)
        yield Clients(runtime.client)


async def _open_runtime(settings: Settings, stack: contextlib.AsyncExitStack) -> Runtime:
    """Open a runtime context, with retries because the registry may only be slow."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(EngineUnavailable):
            return await stack.enter_async_context(open_runtime(settings))
    return await stack.enter_async_context(open_runtime(settings))
