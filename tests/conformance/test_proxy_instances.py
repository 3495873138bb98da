"""The proxy and its instances: failures, retries, and changes of the configuration without a failed request."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from tests.conformance.proxy_rig import ProxyRig, open_rig
from tests.deployment import eventually, find_free_port

from matinee.drivers.authority import CertificateAuthority
from matinee.gateway.model.proxy import Certificate, Endpoint


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ProxyRig]:
    async with open_rig(tmp_path) as opened:
        yield opened


async def test_unchanged_configuration_is_not_applied_again(rig: ProxyRig) -> None:
    assert not await rig.proxy.apply(rig.config())
    assert not await rig.reopen().apply(rig.config())
    assert await rig.reopen().apply(rig.config(gateways="a"))


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer health checks and abort all other requests."""
    while line := await reader.readuntil(b"\r\n\r\n"):
        if not line.startswith(b"GET /readyz"):
            writer.transport.abort()
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def test_failing_gateway_is_ejected(rig: ProxyRig) -> None:
    breaking = await asyncio.start_server(break_off, "127.0.0.1", 0)
    config = rig.config(gateways="b")
    endpoints = (*config.clusters[0].endpoints, Endpoint("127.0.0.1", breaking.sockets[0].getsockname()[1]))
    await rig.proxy.apply(
        replace(config, clusters=(replace(config.clusters[0], endpoints=endpoints), config.clusters[1]))
    )

    async def is_ejected() -> bool:
        answers = [await rig.call("GET", "/api/v1/home", rig.token()) for _ in range(20)]
        assert {status for status, *_ in answers} == {200}
        return {body["name"] for *_, body in answers} == {"b"}

    await eventually(is_ejected)
    for _ in range(30):
        status, _, body = await rig.call("GET", "/api/v1/home", rig.token())
        assert (status, body["name"]) == (200, "b")
        await asyncio.sleep(0.05)
    breaking.close()


async def test_health_is_checked_on_a_port_of_its_own(rig: ProxyRig) -> None:
    config = rig.config(gateways="ab")
    one, other = config.clusters[0].endpoints
    checked = (Endpoint(one.host, one.port, health_port=find_free_port()), other)
    await rig.proxy.apply(
        replace(config, clusters=(replace(config.clusters[0], endpoints=checked), config.clusters[1]))
    )
    healthy = next(name for name, (_, server) in rig.gateways.items() if server.port == other.port)

    async def is_left_out() -> bool:
        answers = [await rig.call("GET", "/api/v1/home", rig.token()) for _ in range(20)]
        return {(status, body["name"]) for status, _, body in answers} == {(200, healthy)}

    await eventually(is_left_out)


async def test_stopped_gateway_gets_no_requests(rig: ProxyRig) -> None:
    await rig.gateways["b"][1].__aexit__()
    for method in ("GET", "POST"):
        for _ in range(10):
            status, _, body = await rig.call(method, "/api/v1/home", rig.token())
            assert (status, body["name"]) == (200, "a")


async def test_unsafe_request_is_not_retried(rig: ProxyRig) -> None:
    for backend, _ in rig.gateways.values():
        backend.status = 503
    await rig.call("POST", "/api/v1/playback", rig.token())
    requests = [one for backend, _ in rig.gateways.values() for one in backend.requests if one[1] == "/api/v1/playback"]
    assert len(requests) == 1


async def test_artwork_is_retried_at_another_edge(rig: ProxyRig) -> None:
    rig.edges["c"][0].status = 500
    for _ in range(10):
        status, _, body = await rig.call("GET", "/art/x.jpg")
        assert (status, body["name"]) == (200, "d")


async def test_no_instances_is_a_503(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(gateways="", edges=""))
    await rig.wait_for_status("/", status=503)
    status, headers, body = await rig.call("GET", "/art/x.jpg")
    assert (status, body["type"], headers["Content-Type"]) == (503, "/problems/unreachable", "application/problem+json")


async def test_changes_under_load_fail_no_request(rig: ProxyRig) -> None:
    failed: list[Any] = []
    done = 0
    stopping = asyncio.Event()

    async def load(number: int) -> None:
        nonlocal done
        while not stopping.is_set():
            path = "/art/x.jpg" if number % 4 == 0 else "/api/v1/home"
            try:
                status, *_ = await rig.call("GET", path, rig.token(f"acc_{number}"))
            except aiohttp.ClientError as error:
                failed.append(repr(error))
            else:
                done += 1
                if status != 200:
                    failed.append((path, status))
            await asyncio.sleep(0.01)

    clients = [asyncio.create_task(load(number)) for number in range(8)]
    changes: list[dict[str, Any]] = [
        {"gateways": "abe"},
        {"gateways": "be"},
        {"gateways": "e", "edges": "d"},
        {"gateways": "ae", "edges": "cd"},
        {"gateways": "a"},
        {"gateways": "ab", "requests_per_minute": 3000},
        {"gateways": "ab", "sign_ins_per_minute": 60},
        {"gateways": "abe", "requests_per_minute": 4000},
        {"gateways": "be", "secret": "another"},
        {"gateways": "a", "edges": "c"},
        {"gateways": "ab", "edges": "cd"},
        {"gateways": "eb", "trust_port": find_free_port()},
    ]
    for change in changes:
        assert await rig.proxy.apply(rig.config(**{"requests_per_minute": 6000, **change}))
        await asyncio.sleep(0.6)
    stopping.set()
    await asyncio.gather(*clients)
    assert failed == []
    assert done > 100
    names = {name for name, (backend, _) in rig.gateways.items() if backend.requests}
    assert names == {"a", "b", "e"}


async def test_renewed_certificate_is_used(rig: ProxyRig, tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path / "authority", datetime.now(UTC))
    trust_port = find_free_port()

    def certificate(*hosts: str) -> Certificate:
        leaf = authority.issue("front", hosts, datetime.now(UTC))
        return Certificate(name="front", chain=leaf.chain, private_key=leaf.private_key)

    port = find_free_port()
    ports: dict[str, Any] = {"port": port, "trust_port": trust_port}
    await rig.proxy.apply(rig.config(certificate=certificate("127.0.0.1"), **ports))
    context = ssl.create_default_context(cadata=authority.certificate_pem)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as trusting:
        rig.http, rig.port, rig.scheme = trusting, port, "https"
        await rig.wait_for_status()
        assert (await rig.call("GET", "/"))[0] == 200
        rig.port, rig.scheme = trust_port, "http"
        for path, status in (("/trust", 200), ("/", 200), ("/trust/matinee.crt", 200), ("/api/v1/ping", 404)):
            assert (await rig.call("GET", path))[0] == status
    paths = {path for backend, _ in rig.gateways.values() for _, path, _ in backend.requests}
    assert paths == {"/", "/trust", "/trust/matinee.crt"}
    await rig.proxy.apply(rig.config(certificate=certificate("127.0.0.1", "localhost"), **ports))
    rig.scheme, rig.port = "https", port
    end = time.monotonic() + 20
    while "localhost" not in await read_names(port, context):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def read_names(port: int, context: Any) -> str:
    """Return the names in the certificate of a new connection; check HTTP/2 and TLS 1.2 or later."""
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = str(writer.get_extra_info("peercert"))
    secured = writer.get_extra_info("ssl_object")
    assert secured.selected_alpn_protocol() == "h2"
    assert secured.version() in {"TLSv1.2", "TLSv1.3"}
    writer.close()
    return shown
