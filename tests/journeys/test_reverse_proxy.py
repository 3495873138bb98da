"""A film behind nginx with TLS on another port, with the configuration of the how-to page."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser
from tests.deployment import Deployment, Viewer, eventually, find_free_port, make_film
from tests.journeys.test_press_play import EMAIL, open_title, wait_for_playback

from matinee.drivers import nginx
from matinee.drivers.authority import CertificateAuthority

pytestmark = [pytest.mark.timeout(300)]
NAME = "films.localhost"
HOWTO = Path(__file__).parents[2] / "docs/howto/reverse-proxy.md"
CONTEXT = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}
http {{ access_log off; {temporary} {server} }}
"""
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def render_configuration(folder: Path, port: int, deployment: Deployment) -> str:
    """Render the server of the how-to page with the ports and the certificate of the test."""
    server = HOWTO.read_text().partition("## nginx")[2].partition("    server {")[2].partition("\n    }\n")[0]
    for pattern, value in {
        r"listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        r"films\.example\.org": NAME,
        r"/etc/ssl/films\.(pem|key)": str(folder / "authority" / "films.pem"),
        r"127\.0\.0\.1:8080": f"127.0.0.1:{deployment.port}",
    }.items():
        assert re.search(pattern, server), pattern
        server = re.sub(pattern, value, server)
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS)
    return CONTEXT.format(folder=folder, temporary=temporary, server=f"server {{{server}}}")


@contextmanager
def run_nginx(folder: Path, port: int, deployment: Deployment) -> Iterator[None]:
    folder.mkdir()
    now = datetime.now(UTC)
    CertificateAuthority.open(folder / "authority", now, hosts=[NAME]).issue("films", [NAME], now)
    (folder / "nginx.conf").write_text(render_configuration(folder, port, deployment))
    process = subprocess.Popen([nginx.find_binary(), "-p", folder, "-c", "nginx.conf", "-e", "error.log"])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


async def test_a_film_plays_behind_nginx_with_tls_on_another_port(
    make_deployment: Callable[..., Deployment], chromium: Browser, tmp_path: Path
) -> None:
    port = find_free_port()
    url = f"https://{NAME}:{port}"
    deployment = make_deployment(
        settings={
            "MATINEE__DEPLOYMENT__PUBLIC_URL": url,
            "MATINEE__GATEWAY__TRUSTED_PROXIES": "127.0.0.1",
            "MATINEE__GATEWAY__SIGN_INS_PER_MINUTE": "3",
        }
    )
    deployment.start()
    assert f"Matinee is at {url}" in (deployment.data / "up.out").read_text()
    deployment.ingest(make_film(tmp_path / "trial.mp4", seconds=20), "Trial by Proxy")
    with run_nginx(tmp_path / "nginx", port, deployment):
        async with make_client("127.0.0.2") as http:
            await eventually(lambda: is_reachable(http, url))
            await Viewer(http, url).sign_up(EMAIL)
        context = await chromium.new_context(ignore_https_errors=True)
        page = await context.new_page()
        requested: set[str] = set()
        page.on("request", lambda request: requested.add(request.url))
        await open_title(page, url)
        await page.get_by_test_id("play").first.click()
        start = await wait_for_playback(page)
        await page.wait_for_function("at => document.querySelector('video').currentTime > at + 3", arg=start)
        assert {one.split("/t/")[0] for one in requested if "/t/" in one} <= {
            f"{url}/edge/edge-{name}" for name in "ab"
        }
        assert not [one for one in requested if not one.startswith((url, "blob:", "data:"))]
        assert [cookie["secure"] for cookie in await context.cookies(f"{url}/api/v1/auth")] == [True]
        await check_limits(url)


async def check_limits(url: str) -> None:
    """Each client behind nginx has limits of its own; one that forges `X-Forwarded-For` too."""
    body = {"email": EMAIL, "password": "wrong", "device": {"name": "x"}}

    async def sign_in(http: aiohttp.ClientSession, number: int = 0) -> int:
        forged = {"X-Forwarded-For": f"198.51.100.{number}"}
        return (await Viewer(http, url).request("POST", "/auth/sign-in", body, headers=forged))[0]

    async with make_client("127.0.0.3") as one, make_client("127.0.0.4") as two:
        assert 429 in [await sign_in(one, number) for number in range(8)]
        assert await sign_in(two) != 429


def make_client(address: str) -> aiohttp.ClientSession:
    """Return a client with an address of its own."""
    connector = aiohttp.TCPConnector(ssl=False, local_addr=(address, 0), resolver=Resolver())
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


class Resolver(aiohttp.abc.AbstractResolver):
    """Resolves every name to this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        await asyncio.sleep(0)


async def is_reachable(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as page:
            return page.status == 200
    except aiohttp.ClientError:
        return False
