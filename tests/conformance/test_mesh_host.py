"""The setting `mesh.host` in real processes: the address that services listen at and are called at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.deployment import eventually, find_free_port

from matinee.app.clients import open_clients
from matinee.app.settings import load
from matinee.drivers.http import ConnectFailed, HttpClient
from matinee.drivers.sql import Database
from matinee.events.api import Events
from matinee.kit.clock import SystemClock
from matinee.mesh.adapters.sql import SqlRegistry
from matinee.mesh.hosting.addresses import own_address


@asynccontextmanager
async def serve(settings: dict[str, str], port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "matinee", "serve", "events", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **settings}, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def environment(folder: Path, host: str) -> dict[str, str]:
    return {"MATINEE__DEPLOYMENT__DATA": str(folder), "MATINEE__MESH__HOST": host}


async def registered_addresses(folder: Path) -> list[str]:
    async with Database(f"sqlite:///{folder}/registry.db") as database:
        found = await (await SqlRegistry.open(database)).list_instances(now=SystemClock().now())
        return [one.address for one in found]


async def is_ready(address: str) -> bool:
    async with HttpClient() as http:
        try:
            return (await http.request("GET", f"{address}/readyz", timeout_s=2)).status == 200
        except (ConnectFailed, TimeoutError):
            return False


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::", 0), family=socket.AF_INET6):
        return True
    return False


HOSTS = ("127.0.0.1", "0.0.0.0", "own", *(["::"] if has_ipv6() else []))


@pytest.mark.parametrize("host", HOSTS)
async def test_services_are_called_at_the_address_they_listen_at(host: str, tmp_path: Path) -> None:
    own, port = own_address(), find_free_port()
    settings = environment(tmp_path, own if host == "own" else host)
    called_at = f"http://{'127.0.0.1' if host == '127.0.0.1' else own}:{port}"
    async with serve(settings, port):
        await eventually(lambda: is_ready(called_at))
        assert await is_ready(f"http://127.0.0.1:{port}") is (host != "own" or own == "127.0.0.1")
        assert await registered_addresses(tmp_path) == [called_at]
        async with open_clients(load(None, settings)) as clients:
            assert await clients.get(Events).get_head() == ""


async def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    async with serve(environment(tmp_path, "192.0.2.77"), find_free_port()) as process:
        assert process.stderr is not None
        error = (await process.stderr.read()).decode()
        assert "192.0.2.77" in error
        assert "mesh.host" in error
        assert "Traceback" not in error
        assert await process.wait() == 2
