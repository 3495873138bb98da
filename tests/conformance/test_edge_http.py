"""An edge over HTTP/1.1, on real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.edge_rig import KEY, Rig, link, read_response, run_edge, run_origin, send_request, wait_until
from tests.deployment import eventually

from matinee.edge.ports import Metric

SEGMENT = os.urandom(300_000)


@pytest.fixture(params=["reactor", "nginx"])
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    timeouts = {"header_timeout_s": 1, "idle_timeout_s": 2}
    async with run_origin() as origin, run_edge(tmp_path, origin, data_plane=request.param, **timeouts) as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        origin.objects["assets/ast_1/empty.vtt"] = b""
        origin.objects["art/tit_1/poster.webp"] = b"a poster"
        yield rig


async def test_segment_is_served_with_its_headers(rig: Rig) -> None:
    for _ in range(2):  # from the origin, then from the cache
        answer = await rig.request(link("v/1.m4s"))
        assert (answer.status, answer.body) == (200, SEGMENT)
        headers = {name: answer.headers[name] for name in answer.headers.keys() - {"date", "server", "connection"}}
        assert headers == {
            "content-type": "video/iso.segment",
            "content-length": "300000",
            "etag": '"493e0"',
            "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
            "accept-ranges": "bytes",
            "cache-control": "public, max-age=31536000, immutable",
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "Content-Length, Content-Range, ETag",
            "timing-allow-origin": "*",
            "cross-origin-resource-policy": "cross-origin",
            "x-content-type-options": "nosniff",
        }
    assert sum(rig.origin.requests.values()) == 1


async def test_artwork_needs_no_token(rig: Rig) -> None:
    answer = await rig.request("/art/tit_1/poster.webp?w=1")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"a poster", "image/webp")


async def test_empty_file_is_served(rig: Rig) -> None:
    for _ in range(2):
        answer = await rig.request(link("empty.vtt"))
        assert (answer.status, answer.headers["content-length"]) == (200, "0")
    assert (await rig.request(link("empty.vtt"), "Range: bytes=0-")).status in {200, 416}  # RFC 9110 §14.2 allows both


async def test_head_has_the_same_headers_without_a_body(rig: Rig) -> None:
    for _ in range(2):
        answer = await rig.request(link("v/1.m4s"), method="HEAD")
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "300000", b"")
    assert (await rig.request(link("none"), method="HEAD")).status == 404


async def test_cors_preflight_is_answered(rig: Rig) -> None:
    preflight = ("Origin: https://tv", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: range")
    answer = await rig.request(link("v/1.m4s"), *preflight, method="OPTIONS")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")
    assert "Range" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "86400"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 300_010) | st.none(), last=st.integers(0, 300_010) | st.none())
async def test_range_selects_a_slice(rig: Rig, first: int | None, last: int | None) -> None:
    if first is None and last is None:
        return
    header = f"Range: bytes={'' if first is None else first}-{'' if last is None else last}"
    answer = await rig.request(link("v/1.m4s"), header)
    if first is not None and last is not None and last < first:
        assert (answer.status, answer.body) == (200, SEGMENT)
        return
    expected = SEGMENT[-last:] if first is None and last else SEGMENT[first : None if last is None else last + 1]
    if (first is None and last == 0) or not expected:
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */300000")
        return
    start = len(SEGMENT) - len(expected) if first is None else first
    assert (answer.status, answer.body) == (206, expected)
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/300000"


async def test_conditional_requests(rig: Rig) -> None:
    path, etag, date = link("v/1.m4s"), '"493e0"', "Sun, 06 Nov 1994 08:49:37 GMT"
    for header in (f"If-None-Match: {etag}", "If-None-Match: *", f"If-Modified-Since: {date}"):
        answer = await rig.request(path, header)
        assert (answer.status, answer.headers["etag"], answer.body) == (304, etag, b"")
    assert (await rig.request(path, 'If-None-Match: "other"', f"If-Modified-Since: {date}")).status == 200
    assert (await rig.request(path, f"If-Range: {etag}", "Range: bytes=0-9")).body == SEGMENT[:10]
    assert (await rig.request(path, 'If-Range: "other"', "Range: bytes=0-9")).status == 200
    assert (await rig.request(path, "Range: bytes=0-1,5-6")).body == SEGMENT


@pytest.mark.parametrize(
    "path",
    [
        "/t/bad/assets/ast_1/v/1.m4s",
        "/t/-/assets/ast_1/v/1.m4s",
        "/t/fffffffffffffffff-x/assets/ast_1/v/1.m4s",
        "/t/zz-AAAAAAAAAAAAAAAAAAAAAA/assets/ast_1/v/1.m4s",
        link("v/1.m4s", seconds=-1),
        link("v/1.m4s", key=b"another key"),
        link("v/1.m4s").replace("ast_1", "ast_2"),
        link("v/1.m4s", scope="assets/ast_2").replace("/assets/ast_2", "/assets/ast_1"),
    ],
    ids=range(8),  # links contain the time, and all xdist workers need the same test ids
)
async def test_invalid_link_is_refused(rig: Rig, path: str) -> None:
    answer = await rig.request(path)
    assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")
    assert msgspec.json.decode(answer.body)["type"] == "/problems/link-refused"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert not rig.origin.requests


async def test_link_expires_even_if_it_was_used_before(rig: Rig) -> None:
    path = link("v/1.m4s", seconds=4)
    assert (await rig.request(path)).status == 200
    # nginx may use a clock that is some milliseconds late.
    await wait_until(lambda: int(path.split("/")[2].split("-")[0], 16) + 1 <= time.time())
    assert (await rig.request(path)).status == 403


async def test_keys_can_be_rotated(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin, token_keys=(b"new", KEY)) as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        assert (await rig.request(link("v/1.m4s"))).status == 200
        assert (await rig.request(link("v/1.m4s", key=b"new"))).status == 200
        assert (await rig.request(link("v/1.m4s", key=b"old"))).status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/", "/index.html", "/metrics", "/admin", "/art/", "/art/../assets/ast_1/v/1.m4s", "/art/%2e%2e/x",
        "/art/..%2f..%2fetc/passwd", "//etc/passwd", "/art//etc/passwd", "/art/a%00b", "/art/.ssh/id",
        link("../ast_2/v/1.m4s"), link("v/%2e%2e/1.m4s"), link("v//1.m4s"), link(""), "/t//assets/ast_1/v/1.m4s",
    ],
    ids=range(17),  # as upstream
)  # fmt: skip
async def test_invalid_paths_are_refused(rig: Rig, path: str) -> None:
    answer = await rig.request(path)
    assert answer.status in {400, 403, 404}
    assert not rig.origin.requests
    assert rig.count_stored() == 0


async def test_health_and_metrics(rig: Rig) -> None:
    assert (await rig.request("/healthz")).body == b"ok\n"
    await rig.request(link("v/1.m4s"))
    await wait_until(rig.count_stored)
    await rig.request(link("v/1.m4s"))
    await wait_until(lambda: rig.total(Metric.HITS))
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{rig.server.admin_port}/metrics") as r,
    ):
        page = await r.text()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    named = {name.partition("{")[0].removeprefix("matinee_edge_"): int(value) for name, value in samples.items()}
    assert (named["hits_total"], named["misses_total"], named["fills_total"]) == (1, 1, 1)
    assert named["sent_bytes_total"] > 600_000
    assert named["workers"] >= 1


async def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    for at in range(0, 50, 10):  # all sent before the first response is read
        writer.write(f"GET {link('v/1.m4s')} HTTP/1.1\r\nHost: e\r\nRange: bytes={at}-{at + 9}\r\n\r\n".encode())
    assert [(await read_response(reader)).body for _ in range(5)] == [SEGMENT[at : at + 10] for at in range(0, 50, 10)]
    assert (await send_request(reader, writer, link("v/1.m4s"))).body == SEGMENT
    writer.close()


async def test_request_may_arrive_byte_by_byte(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    for letter in f"GET {link('v/1.m4s')} HTTP/1.1\r\nHost: e\r\n\r\n":
        writer.write(letter.encode())
        await writer.drain()
        await asyncio.sleep(0)
    assert (await read_response(reader)).body == SEGMENT
    writer.close()


async def test_connection_closes_for_http_1_0_and_on_request(rig: Rig) -> None:
    path = link("v/1.m4s")
    for request in (f"GET {path} HTTP/1.0\r\n\r\n", f"GET {path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"):
        answer = await rig.send_raw(request.encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(SEGMENT)


async def test_target_may_be_an_absolute_url(rig: Rig) -> None:
    request = f"GET http://edge{link('v/1.m4s')} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n"
    assert (await rig.send_raw(request.encode())).endswith(SEGMENT)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_writing_methods_are_refused(rig: Rig, method: str) -> None:
    answer = await rig.request(link("v/1.m4s"), method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET healthz HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: e\r\nBad header\r\n\r\n", 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: e\r\n\r\n", 414),
        (b"GET /" + b"a" * 100_000, 414),
        (b"GET / HTTP/1.1\r\nHost: e\r\nX: " + b"a" * 100_000, 431),
        (b"GET / HTTP/1.1\r\nHost: e\r\n" + b"X: y\r\n" * 20_000, 431),
        (b"POST /healthz HTTP/1.1\r\nHost: e\r\nContent-Length: 5\r\n\r\nhello", 405),
        (b"POST / HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
async def test_invalid_request_is_answered_and_disconnected(rig: Rig, data: bytes, status: int) -> None:
    answer = await rig.send_raw(data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert rig.closes_silently or b"\r\nConnection: close\r\n" in answer
    assert (await rig.request("/healthz")).status == 200


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(min_size=1, max_size=300))
async def test_garbage_does_not_disturb_other_clients(rig: Rig, garbage: bytes) -> None:
    answer = await rig.send_raw(garbage + b"\r\n\r\n\r\n")
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
    assert (await rig.request("/healthz")).status == 200


async def test_incomplete_request_times_out(rig: Rig) -> None:
    for start in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: e\r\nX-Slow: "):
        answer = await rig.send_raw(start)
        assert answer == b"" if not start or rig.closes_silently else answer.startswith(b"HTTP/1.1 408 ")


async def test_slow_header_does_not_extend_the_timeout(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)

    async def send_slowly() -> None:
        while True:
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.05)

    writer.write(b"GET /healthz HTTP/1.1\r\n")
    sending = asyncio.create_task(send_slowly())
    with suppress(ConnectionResetError):
        assert rig.closes_silently or (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 408 ")
        await asyncio.wait_for(reader.read(), 20)
    sending.cancel()
    writer.close()


async def test_client_that_does_not_read_is_disconnected(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin, send_timeout_s=1) as rig:
        origin.objects["assets/ast_1/big.mp4"] = bytes(30_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
        writer.write(f"GET {link('big.mp4')} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
        await reader.readexactly(100)
        await wait_until(lambda: rig.total(Metric.CONNECTIONS) == 0)
        writer.close()


def measure_unsent(server_port: int, client_port: int) -> int:
    """Return how many bytes the kernel holds in the server's socket of a connection."""
    ends = [f"{server_port:04X}", f"{client_port:04X}"]
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next(int(one[4].split(":")[0], 16) for one in connections if [one[1][-4:], one[2][-4:]] == ends)


async def test_kernel_holds_little_for_a_client_that_does_not_read(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin) as rig:
        origin.objects["art/large"] = bytes(16 << 20)
        await rig.request("/art/large")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", rig.port))
            await loop.sock_sendall(client, b"GET /art/large HTTP/1.1\r\nHost: edge\r\n\r\n")
            await asyncio.sleep(0.3)
            assert 0 < measure_unsent(rig.port, client.getsockname()[1]) < 1 << 20


async def test_clients_over_the_connection_limit_get_a_503(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin, max_connections=2) as rig:
        connections = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(2)]
        await wait_until(lambda: rig.total(Metric.CONNECTIONS) == 2)
        assert b" 503 " in await rig.send_raw(b"")
        for _, writer in connections:
            writer.close()
        await wait_until(lambda: rig.total(Metric.CONNECTIONS) == 0)
        assert (await rig.request("/healthz")).status == 200


async def test_one_client_cannot_take_all_connections(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin, max_connections_per_client=2) as rig:
        connections = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(2)]
        await wait_until(lambda: rig.total(Metric.CONNECTIONS) == 2)
        assert b" 503 " in await rig.send_raw(b"")
        other = await asyncio.open_connection("127.0.0.1", rig.port, local_addr=("127.0.0.2", 0))
        other[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await other[0].readline()
        for _, writer in [*connections, other]:
            writer.close()
        await wait_until(lambda: rig.total(Metric.CONNECTIONS) == 0)
        assert (await rig.request("/healthz")).status == 200


async def test_stop_waits_for_responses(tmp_path: Path) -> None:
    async with run_origin() as origin, run_edge(tmp_path, origin) as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        origin.pause_at = 1000
        response = asyncio.create_task(rig.request(link("v/1.m4s")))
        await wait_until(lambda: rig.origin.requests)
        stopping = asyncio.create_task(rig.server.stop(20))
        await eventually(lambda: refuses_connections(rig))
        assert not stopping.done()
        origin.resume.set()
        assert (await response).body == SEGMENT
        await stopping


async def refuses_connections(rig: Rig) -> bool:
    """Return whether connections are refused."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
