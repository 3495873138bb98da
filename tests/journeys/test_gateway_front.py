"""The whole way in, for real: TLS, Envoy, two gateways that come and go, the domains behind them."""

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
from tests.unit.gateway_rig import CLOCK, Deployment, Viewer, call, deployment

from matinee.drivers import envoy
from matinee.drivers.authority import CertificateAuthority
from matinee.gateway.adapters.envoy import EnvoyProxy
from matinee.gateway.jobs import ProxyUpdater
from matinee.gateway.model.proxy import Certificate, ProxySettings

pytestmark = [pytest.mark.timeout(180)]
HOSTS = ("127.0.0.1", "localhost")


@dataclass
class Front:
    """Envoy with its gateways, and a client that trusts it."""

    deployment: Deployment
    gateways: dict[str, AsyncExitStack]
    urls: list[str]
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    async def join(self) -> str:
        """One more gateway."""
        stack = AsyncExitStack()
        running = await stack.enter_async_context(deployment(self.folder, **self.settings))
        self.gateways[running.url] = stack
        self.urls.append(running.url)
        return running.url

    async def leave(self, url: str, *, told: bool) -> None:
        """A gateway ends; told, it left the registry before, and the front has followed."""
        if told:
            self.urls.remove(url)
            await eventually(lambda: self.passes_over(url))
        await self.gateways.pop(url).aclose()

    async def takes(self, url: str) -> bool:
        """Whether a gateway has had requests: Envoy's workers learn of it a while after its page does."""
        answered = re.search(rf"{re.escape(url.removeprefix('http://'))}::rq_success::(\d+)", await self._clusters())
        return answered is not None and int(answered[1]) > 0

    async def passes_over(self, url: str) -> bool:
        """Whether Envoy no longer knows of a gateway."""
        return f"{url.removeprefix('http://')}::" not in await self._clusters()

    async def _clusters(self) -> str:
        """What Envoy's admin page tells of its clusters."""
        page = f"http://{envoy.read_admin_address(self.folder / 'envoy')}/clusters"
        async with aiohttp.ClientSession() as http, http.get(page) as answer:
            return await answer.text()


def started(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(envoy.build_command(folder), stderr=subprocess.DEVNULL)


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    authority = CertificateAuthority.open(tmp_path / "authority", CLOCK.now())
    port, trust_port = find_free_port(), find_free_port()
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").write_text("<title>Matinee</title>")

    def doors() -> ProxySettings:
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
        first = await stack.enter_async_context(deployment(tmp_path, **settings))
        made = Front(Deployment(f"https://127.0.0.1:{port}", http, first.domains, tmp_path), {}, [], tmp_path, settings)

        async def gateways() -> list[str]:
            return list(made.urls)

        folder = tmp_path / "envoy"
        follower = ProxyUpdater(
            proxy=EnvoyProxy(folder),
            settings=doors,
            gateways=gateways,
            identity=first.domains["identity"],
            steering=first.domains["steering"],
        )
        await made.join()
        await follower.update()
        process = started(folder)
        following = asyncio.create_task(follower.run())
        await eventually(lambda: answers(made.deployment))
        yield made
        following.cancel()
        process.terminate()
        await asyncio.to_thread(process.wait, 10)
        for gateway in made.gateways.values():
            await gateway.aclose()
        await asyncio.to_thread(shutil.rmtree, folder)


async def answers(at: Deployment) -> bool:
    try:
        return (await call(at, "GET", "/.well-known/jwks.json")).status == 200
    except aiohttp.ClientError:
        return False


async def test_a_viewers_evening_while_gateways_come_and_go(front: Front) -> None:
    at = front.deployment
    viewer = await at.viewer()
    assert viewer.cookie
    await at.film("Night Bus")
    failed: list[Any] = []
    evenings, scene = 0, "the first alone"
    stopping = asyncio.Event()

    async def evening() -> None:
        nonlocal evenings
        while not stopping.is_set():
            answer = await viewer.call("GET", "/home")
            if answer.status != 200 or answer.json["missing"]:
                failed.append((answer.status, answer.body, scene))
            evenings += 1
            await asyncio.sleep(0.02)

    watching = [asyncio.create_task(evening()) for _ in range(3)]
    first = front.urls[0]
    second = await front.join()
    scene = "the second has joined"
    await eventually(lambda: front.takes(second))
    scene = "the first leaves"
    await front.leave(first, told=True)
    scene = "the third joins"
    third = await front.join()
    await eventually(lambda: front.takes(third))
    scene = "the second dies"
    await front.leave(second, told=False)
    await asyncio.sleep(1)
    await eventually(lambda: evenings > 30)
    stopping.set()
    await asyncio.gather(*watching)
    assert failed == []
    assert list(front.gateways) == [third]


async def test_browsers_refresh_uploads_and_the_page_itself(front: Front) -> None:
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
    made = await viewer.call("POST", "/operator/uploads", Upload_Length=str(len(data)), **tus)
    assert made.status == 201
    where = made.headers["Location"].removeprefix("/api/v1")
    piece = {**tus, "Content_Type": "application/offset+octet-stream"}
    half = len(data) // 2
    for start, end in ((0, half), (half, len(data))):
        assert (await viewer.call("HEAD", where, **tus)).headers["Upload-Offset"] == str(start)
        answer = await viewer.call("PATCH", where, data[start:end], Upload_Offset=str(start), **piece)
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(end))
    gone = await viewer.call("GET", "/nothing")
    assert (gone.status, gone.problem) == (404, "no-such-page")
    assert (await call(at, "GET", "/metrics")).problem == "no-such-page"
    trust = await call(at, "GET", "/trust")
    assert str(front.settings["authority_fingerprint"]).encode() in trust.body
