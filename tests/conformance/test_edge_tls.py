"""An edge with TLS."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.conformance.edge_rig import HttpResponse, Rig, link, run_edge, run_origin, send_request, wait_until

from matinee.edge.ports import Metric

FILM = os.urandom(5_000_000)


def create_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
    )
    return cert_path, key_path


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    cert, key = create_certificate(tmp_path)
    async with (
        run_origin() as origin,
        run_edge(tmp_path, origin, tls_cert=cert, tls_key=key, header_timeout_s=1) as rig,
    ):
        origin.objects["assets/ast_1/film.mp4"] = FILM
        yield rig


async def request(rig: Rig, path: str, *headers: str) -> HttpResponse:
    context = ssl.create_default_context(cafile=str(rig.settings.tls_cert))
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port, ssl=context)
    try:
        first = await send_request(reader, writer, path, *headers)
        again = await send_request(reader, writer, path, *headers)
        assert (again.status, again.body) == (first.status, first.body)
        return first
    finally:
        writer.close()


async def test_films_and_ranges_are_served(rig: Rig) -> None:
    assert (await request(rig, link("film.mp4"))).body == FILM
    assert (await request(rig, link("film.mp4"), "Range: bytes=1000-2000000")).body == FILM[1000:2_000_001]
    assert {a.body for a in await asyncio.gather(*(request(rig, link("film.mp4")) for _ in range(4)))} == {FILM}
    assert rig.origin.requests.total() == 1


async def test_clients_without_a_handshake_are_disconnected(rig: Rig) -> None:
    await rig.send_raw(b"GET /healthz HTTP/1.1\r\nHost: e\r\n\r\n")
    await rig.send_raw(os.urandom(500))
    assert await rig.send_raw(b"") == b""
    await wait_until(lambda: rig.total(Metric.CONNECTIONS) == 0)
    assert (await request(rig, "/healthz")).status == 200
