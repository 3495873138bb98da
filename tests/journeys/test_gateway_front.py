"""Requests through TLS, Envoy, and gateways that join and leave."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.deployment import eventually, find_free_port
from tests.unit.gateway_rig import CLOCK, Deployment, Viewer, call, run_gateway

from matinee.drivers import envoy
from matinee.drivers.authority import CertificateAuthority
from matinee.gateway.adapters.envoy import EnvoyProxy
from matinee.gateway.jobs import ProxyUpdater
from matinee.gateway.model.proxy import Certificate, ProxySettings
from matinee.kit.ids import InstanceId, generate
from matinee.mesh.api import Instance

pytestmark = [pytest.mark.timeout(180)]
HOSTS = ("127.0.0.1", "localhost")


@dataclass
class FrontRig:
    """Envoy with its gateways, and a client that trusts its certificate."""

    deployment: Deployment
    gateways: dict[str, AsyncExitStack]
    instances: dict[str, Instance]
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    async def join(self) -> str:
        """Start a gateway."""
        stack = AsyncExitStack()
        running = await stack.enter_async_context(run_gateway(self.folder, **self.settings))
        self.gateways[running.url] = stack
        self.instances[running.url] = Instance(
            instance_id=generate(InstanceId, CLOCK.now()),
            address=running.internal_url,
            app_address=running.url,
            services=("gateway",),
        )
        return running.url

    async def leave(self, url: str, *, deregister: bool) -> None:
        """Stop a gateway, if wanted after it has left the registry and Envoy has followed."""
        if deregister:
            del self.instances[url]
            await eventually(lambda: self.is_removed(url))
        await self.gateways.pop(url).aclose()

    async def has_requests(self, url: str) -> bool:
        """Return whether a gateway has had requests; Envoy's workers learn of it after its admin page."""
        answered = re.search(
            rf"{re.escape(url.removeprefix('http://'))}::rq_success::(\d+)", await self._read_clusters()
        )
        return answered is not None and int(answered[1]) > 0

    async def is_removed(self, url: str) -> bool:
        """Return whether Envoy has removed a gateway."""
        return f"{url.removeprefix('http://')}::" not in await self._read_clusters()

    async def _read_clusters(self) -> str:
        """Return the page of clusters of Envoy's admin interface."""
        connector = aiohttp.UnixConnector(envoy.read_admin_socket(self.folder / "envoy"))
        async with aiohttp.ClientSession(connector=connector) as http, http.get("http://envoy/clusters") as answer:
            return await answer.text()


def start_envoy(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(envoy.build_command(folder), stderr=subprocess.DEVNULL)


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[FrontRig]:
    authority = CertificateAuthority.open(tmp_path / "authority", CLOCK.now())
    port, trust_port = find_free_port(), find_free_port()
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").write_text("<title>Matinee</title>")

    def proxy_settings() -> ProxySettings:
        leaf = authority.issue("deployment", HOSTS, CLOCK.now())
        certificate = Certificate(name="deployment", chain=leaf.chain, private_key=leaf.private_key)
        return ProxySettings(port=port, trust_port=trust_port, certificate=certificate, secret="between us")

    async with AsyncExitStack() as stack:
        context = ssl.create_default_context(cadata=authority.certificate_pem)
        http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        await stack.enter_async_context(http)
        settings = {
            "secure": True,
            "proxy_secret": "between us",
            "authority_der": authority.certificate_der,
            "authority_fingerprint": authority.fingerprint,
            "front_url": f"https://127.0.0.1:{port}",
        }
        first = await stack.enter_async_context(run_gateway(tmp_path, **settings))
        rig = FrontRig(
            Deployment(f"https://127.0.0.1:{port}", http, first.domains, tmp_path), {}, {}, tmp_path, settings
        )

        folder = tmp_path / "envoy"
        updater = ProxyUpdater(
            proxy=EnvoyProxy(folder),
            settings=proxy_settings,
            gateways=lambda: list(rig.instances.values()),
            identity=first.domains["identity"],
            steering=first.domains["steering"],
        )
        await rig.join()
        await updater.update()
        process = start_envoy(folder)
        updating = asyncio.create_task(updater.run())
        await eventually(lambda: is_reachable(rig.deployment))
        yield rig
        updating.cancel()
        process.terminate()
        await asyncio.to_thread(process.wait, 10)
        for gateway in rig.gateways.values():
            await gateway.aclose()
        await asyncio.to_thread(shutil.rmtree, folder)


async def is_reachable(at: Deployment) -> bool:
    try:
        return (await call(at, "GET", "/.well-known/jwks.json")).status == 200
    except aiohttp.ClientError:
        return False


async def test_home_is_complete_while_gateways_join_and_leave(front: FrontRig) -> None:
    at = front.deployment
    viewer = await at.viewer()
    assert viewer.cookie
    await at.add_film("Night Bus")
    failed: list[Any] = []
    requests, phase = 0, "one gateway"
    stopping = asyncio.Event()

    async def request_home() -> None:
        nonlocal requests
        while not stopping.is_set():
            answer = await viewer.call("GET", "/home")
            if answer.status != 200 or answer.json["missing"]:
                failed.append((answer.status, answer.body, phase))
            requests += 1
            await asyncio.sleep(0.02)

    watching = [asyncio.create_task(request_home()) for _ in range(3)]
    first = next(iter(front.instances))
    second = await front.join()
    phase = "the second has joined"
    await eventually(lambda: front.has_requests(second))
    phase = "the first leaves"
    await front.leave(first, deregister=True)
    phase = "the third joins"
    third = await front.join()
    await eventually(lambda: front.has_requests(third))
    phase = "the second dies"
    await front.leave(second, deregister=False)
    await asyncio.sleep(1)
    await eventually(lambda: requests > 30)
    stopping.set()
    await asyncio.gather(*watching)
    assert failed == []
    assert list(front.gateways) == [third]


async def test_refresh_uploads_and_pages_through_the_proxy(front: FrontRig) -> None:
    at = front.deployment
    page = await call(at, "GET", "/titles/anything")
    assert page.body == b"<title>Matinee</title>"
    viewer: Viewer = await at.viewer(operator=True)
    fresh = await viewer.call("POST", "/auth/refresh", origin=at.url, Cookie=viewer.cookie)
    assert fresh.status == 200
    assert "secure" in fresh.headers["Set-Cookie"].lower()
    assert (await viewer.call("POST", "/auth/refresh", origin="https://evil", Cookie=viewer.cookie)).status == 403

    data = b"0123456789abcdef" * (200 << 10)
    tus = {"Tus_Resumable": "1.0.0"}
    rig = await viewer.call("POST", "/operator/uploads", Upload_Length=str(len(data)), **tus)
    assert rig.status == 201
    where = rig.headers["Location"].removeprefix("/api/v1")
    piece = {**tus, "Content_Type": "application/offset+octet-stream"}
    half = len(data) // 2
    for start, end in ((0, half), (half, len(data))):
        assert (await viewer.call("HEAD", where, **tus)).headers["Upload-Offset"] == str(start)
        answer = await viewer.call("PATCH", where, data[start:end], Upload_Offset=str(start), **piece)
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(end))
    gone = await viewer.call("GET", "/nothing")
    assert (gone.status, gone.problem) == (404, "no-such-page")
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics", "/art/../metrics", "/METRICS"):
        assert b"matinee_" not in (await call(at, "GET", path)).body, path
    assert (await call(at, "GET", "/metrics")).problem == "no-such-page"
    trust = await call(at, "GET", "/trust")
    assert str(front.settings["authority_fingerprint"]).encode() in trust.body
