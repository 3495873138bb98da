"""The setting `mesh.host` in real processes: the address that services listen at and are called at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.deployment import eventually, find_free_port

from matinee.app.clients import open_clients
from matinee.app.domains import DOMAINS
from matinee.app.settings import load
from matinee.drivers.http import ConnectFailed, HttpClient
from matinee.events.api import Events
from matinee.kit.clock import SystemClock
from matinee.mesh.adapters.files import FileRegistry
from matinee.mesh.hosting.addresses import own_address


@asynccontextmanager
async def serve(
    settings: dict[str, str], port: int, *, targets: Sequence[str] = ("events",), app_port: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    ports = ("--port", str(port), "--app-port", str(app_port))
    command = [sys.executable, "-m", "matinee", "serve", *targets, *ports]
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


async def registered_addresses(folder: Path) -> list[tuple[str, str]]:
    found = await FileRegistry.open(folder / "run/instances").list_instances(now=SystemClock().now())
    return [(one.address, one.app_address) for one in found]


async def is_registered(folder: Path, address: str, app_address: str) -> bool:
    return await registered_addresses(folder) == [(address, app_address)]


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
        assert await registered_addresses(tmp_path) == [(called_at, "")]
        async with open_clients(load(None, settings)) as clients:
            assert await clients.get(Events).get_head() == ""


async def test_application_is_served_on_a_port_of_its_own(tmp_path: Path) -> None:
    port, app_port = find_free_port(), find_free_port()
    settings = {**environment(tmp_path, "0.0.0.0"), "MATINEE__GATEWAY__WEB": str(tmp_path / "web")}
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").write_text("<title>Matinee</title>")
    targets = [name for name, domain in DOMAINS.items() if domain.run is None]
    async with serve(settings, port, targets=targets, app_port=app_port):
        address, app_address = (f"http://{own_address()}:{each}" for each in (port, app_port))
        await eventually(lambda: is_ready(address))
        await eventually(lambda: is_registered(tmp_path, address, app_address))
        secret = (tmp_path / "secrets/envoy-proxy.key").read_bytes().hex()
        async with HttpClient() as http:
            for path in ("/", "/readyz"):
                page = await http.request("GET", app_address + path, headers={"x-matinee-proxy": secret}, timeout_s=5)
                assert page.body == b"<title>Matinee</title>"
        async with serve(settings, find_free_port(), targets=targets, app_port=app_port) as second:
            assert second.stderr is not None
            error = (await second.stderr.read()).decode()
            assert f"Cannot listen on port {app_port} of 0.0.0.0" in error
            assert "Traceback" not in error
            assert await second.wait() == 2


@pytest.mark.parametrize(
    ("targets", "app_port", "registry", "reason"),
    [
        (("gateway",), 0, "kubernetes:///films", "name it with --app-port"),
        (("events",), 8001, "", "--app-port needs the target `gateway`"),
        (("gateway",), 70000, "", "70000 is not in the range 0<=x<=65535"),
    ],
)
async def test_ports_that_cannot_be_used_are_refused(
    targets: Sequence[str], app_port: int, registry: str, reason: str, tmp_path: Path
) -> None:
    settings = environment(tmp_path, "127.0.0.1") | ({"MATINEE__MESH__REGISTRY": registry} if registry else {})
    async with serve(settings, 0, targets=targets, app_port=app_port) as process:
        assert process.stderr is not None
        error = (await process.stderr.read()).decode()
        assert reason in error
        assert "Traceback" not in error
        assert await process.wait() == 2


async def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    async with serve(environment(tmp_path, "192.0.2.77"), find_free_port()) as process:
        assert process.stderr is not None
        error = (await process.stderr.read()).decode()
        assert "192.0.2.77" in error
        assert "mesh.host" in error
        assert "Traceback" not in error
        assert await process.wait() == 2
