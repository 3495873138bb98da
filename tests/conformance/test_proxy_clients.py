"""The proxy and clients that are silent, slow or malformed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.conformance.proxy_rig import ProxyRig, open_rig
from tests.deployment import eventually, find_free_port

from matinee.drivers.authority import CertificateAuthority
from matinee.gateway.model.proxy import Certificate


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ProxyRig]:
    async with open_rig(tmp_path) as opened:
        yield opened


async def test_a_body_that_does_not_arrive_is_not_waited_for(rig: ProxyRig) -> None:
    config = rig.config()
    front = config.listeners[0]
    routes = tuple(replace(route, stream_ms=1000) if route.stream_ms else route for route in front.routes)
    assert [route for route in front.routes if route.stream_ms == 30_000]
    await rig.proxy.apply(replace(config, listeners=(replace(front, routes=routes),)))

    async def is_ended(method: bytes) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        head = method + b" /api/v1/auth/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        try:
            writer.write(head)
            for _ in range(40):
                writer.write(b"x")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        return (await reader.readline()).split()[1] in {b"408", b"413", b"504"}
        finally:
            writer.close()
        return False

    await eventually(lambda: is_ended(b"POST"))


HOST = b"Host: localhost\r\n"


LINES = (
    (b"GET http://localhost/titles/x HTTP/1.1\r\n" + HOST, 200, ""),
    (b"GET HTTP://LOCALHOST:8080/titles/x?a=b HTTP/1.1\r\n" + HOST, 200, ""),
    (b"GET http://localhost HTTP/1.1\r\n" + HOST, 200, ""),
    (b"GET http://localhost/api/v1/auth/x HTTP/1.1\r\n" + HOST, 200, ""),
    (b"GET http://localhost/metrics HTTP/1.1\r\n" + HOST, 404, "no-such-page"),
    # Only for connections by TLS (RFC 9110 section 4.3.3).
    (b"GET https://localhost/titles/x HTTP/1.1\r\n" + HOST, 400, "malformed-request"),
    (b"GARBAGE\r\n", 400, "malformed-request"),
    (b"GET /\x01 HTTP/1.1\r\n" + HOST, 400, "malformed-request"),
    (b"GET / HTTP/1.1\r\n", 400, "malformed-request"),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Bad Name: 1\r\n", 400, "malformed-request"),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: many\r\n", 400, "malformed-request"),
    (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "malformed-request"),
    (b"GET /a%2fb HTTP/1.1\r\n" + HOST, 400, "malformed-request"),
    (b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n", 400, "malformed-request"),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 70_000 + b"\r\n", 431, "headers-too-large"),
    (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n", 405, "method-not-allowed"),
    (b"CONNECT localhost HTTP/1.1\r\n" + HOST, 400, "malformed-request"),
)


async def send_head(port: int, head: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"Connection: close\r\n\r\n")
    async with asyncio.timeout(20):
        answer = await reader.read(8192)
    writer.close()
    return answer


async def test_request_lines_are_read_or_refused_at_once(rig: ProxyRig) -> None:
    answers = await asyncio.gather(*(send_head(rig.port, head) for head, *_ in LINES))
    for (head, status, kind), answer in zip(LINES, answers, strict=True):
        assert answer.split()[1] == str(status).encode(), (head[:80], answer)
        assert f"/problems/{kind}".encode() in answer or not kind, (head[:80], answer)
        assert b"JSON" not in answer


async def measure_silence(port: int) -> float:
    """Connect, send nothing, and return the seconds until the connection is closed."""
    started_s = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    return time.monotonic() - started_s


async def test_silent_connections_are_closed(rig: ProxyRig, tmp_path: Path) -> None:
    leaf = CertificateAuthority.open(tmp_path / "authority", datetime.now(UTC))
    issued = leaf.issue("front", ("127.0.0.1",), datetime.now(UTC))
    certificate = Certificate(name="front", chain=issued.chain, private_key=issued.private_key)
    for changes in ({"handshake_ms": 1_000}, {"idle_ms": 1_000}):
        port = find_free_port()
        config = rig.config(port=port, certificate=certificate if "handshake_ms" in changes else None)
        front = config.listeners[0]
        assert (front.handshake_ms, front.idle_ms) == (10_000, 75_000)
        await rig.proxy.apply(replace(config, listeners=(replace(front, **changes),)))
        await eventually(lambda port=port: accepts(port))
        assert await measure_silence(port) < 8


async def accepts(port: int) -> bool:
    """Return whether connections to a port are accepted."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def test_a_get_with_a_body_is_refused_at_its_second_byte(rig: ProxyRig) -> None:
    status, _, body = await rig.call("GET", "/titles/x", data=b"xx")
    assert (status, body["type"]) == (413, "/problems/too-large")
