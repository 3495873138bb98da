"""A deployment that is open to the network: TLS by its own certificate authority at front and edges."""

import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from tests.deployment import Deployment, eventually, find_free_port, make_film

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
    deployment.ingest(make_film(tmp_path / "a.mp4", seconds=4), "Under Lock")
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
