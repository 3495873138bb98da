"""A deployment that is open to the network: TLS by its own certificate authority at front and edges."""

import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import async_playwright, expect
from tests.deployment import CHROMIUM_FLAGS, Deployment, Viewer, eventually, find_chromium, find_free_port, make_film
from tests.journeys.test_press_play import EMAIL, open_title, wait_for_playback

pytestmark = [pytest.mark.timeout(300)]


async def test_pages_pictures_and_edges_are_served_with_tls(
    make_deployment: Callable[..., Deployment], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    trust_port = find_free_port()
    # Otherwise the deployment would use the address of this machine in the network.
    deployment = make_deployment(
        settings={"MATINEE__DEPLOYMENT__HOST": "127.0.0.1", "MATINEE__GATEWAY__TRUST_PORT": str(trust_port)}
    )
    deployment.start("--lan")
    deployment.ingest(make_film(tmp_path / "a.mp4", seconds=4, size="160x90", rate="12"), "Under Lock")
    front = f"https://127.0.0.1:{deployment.port}"

    async with http.get(f"http://127.0.0.1:{trust_port}/") as page:
        assert "Get the certificate" in await page.text()
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await http.get(front)

    authority = (deployment.data / "secrets" / "authority" / "authority.pem").read_text()
    certificate = authority[authority.index("-----BEGIN CERTIFICATE-----") :]
    context = ssl.create_default_context(cadata=certificate)
    async with http.get(front, ssl=context) as page:
        assert page.status == 200
    async with http.get(f"https://127.0.0.1:{deployment.edge_port}/healthz", ssl=context) as health:
        assert health.status == 200

    picture = next((deployment.data / "objects" / "public" / "art").iterdir()).name

    async def is_served() -> bool:
        async with http.get(f"{front}/art/{picture}", ssl=context) as response:
            return response.status == 200

    await eventually(is_served)


async def test_a_film_plays_at_a_name_of_the_network(
    make_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    name = "cinema.lan"
    settings = {"MATINEE__DEPLOYMENT__HOST": name, "MATINEE__GATEWAY__TRUST_PORT": str(find_free_port())}
    deployment = make_deployment(settings=settings)
    deployment.start("--lan")
    deployment.ingest(make_film(tmp_path / "a.mp4", seconds=20), "Trial by Name")
    await sign_up(f"https://127.0.0.1:{deployment.port}")
    async with async_playwright() as playwright:
        flags = [*CHROMIUM_FLAGS, "--host-resolver-rules=MAP *.lan 127.0.0.1"]
        chromium = await playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        page = await (await chromium.new_context(ignore_https_errors=True)).new_page()
        await open_title(page, f"https://{name}:{deployment.port}")
        await page.get_by_test_id("play").first.click()
        await wait_for_playback(page)
        await chromium.close()


async def test_an_address_without_https_is_named_as_the_reason(
    make_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    deployment = make_deployment(settings={"MATINEE__GATEWAY__HOSTS": "cinema.lan"})
    deployment.start()
    deployment.ingest(make_film(tmp_path / "a.mp4", seconds=4), "Trial by Fire")
    await sign_up(deployment.url)
    async with async_playwright() as playwright:
        flags = [*CHROMIUM_FLAGS, "--host-resolver-rules=MAP *.lan 127.0.0.1"]
        chromium = await playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        page = await chromium.new_page()
        await open_title(page, f"http://cinema.lan:{deployment.port}")
        await page.get_by_test_id("play").first.click()
        await expect(page.get_by_test_id("player-error")).to_contain_text("Video needs https or localhost")
        await chromium.close()


async def sign_up(url: str) -> None:
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as trusting:
        await Viewer(trusting, url).sign_up(EMAIL)
