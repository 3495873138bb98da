"""A deployment that is open to the network: TLS by its own authority, from the front to the edges behind it."""

import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from tests.deployment import Deployment, eventually, find_free_port, make_film

pytestmark = [pytest.mark.timeout(300)]


async def test_pictures_pages_and_segments_come_under_tls(
    make_deployment: Callable[..., Deployment], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    trust_port = find_free_port()
    # Loopback is an address like any other here; the deployment would else take this machine's own.
    deployment = make_deployment(
        settings={"MATINEE__DEPLOYMENT__HOST": "127.0.0.1", "MATINEE__GATEWAY__TRUST_PORT": str(trust_port)}
    )
    deployment.start("--lan")
    deployment.ingest(make_film(tmp_path / "a.mp4", seconds=4), "Under Lock")
    front = f"https://127.0.0.1:{deployment.port}"

    async with http.get(f"http://127.0.0.1:{trust_port}/") as page:
        assert "Get the certificate" in await page.text()
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await http.get(front)

    authority = (deployment.data / "secrets" / "authority" / "authority.pem").read_text()
    certificate = authority[authority.index("-----BEGIN CERTIFICATE-----") :]
    trusting = ssl.create_default_context(cadata=certificate)
    async with http.get(front, ssl=trusting) as page:
        assert page.status == 200
    async with http.get(f"https://127.0.0.1:{deployment.edge_port}/healthz", ssl=trusting) as health:
        assert health.status == 200

    picture = next((deployment.data / "objects" / "public" / "art").iterdir()).name

    async def arrives() -> bool:
        async with http.get(f"{front}/art/{picture}", ssl=trusting) as answer:
            return answer.status == 200

    await eventually(arrives)
