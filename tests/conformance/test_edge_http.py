"""An edge as its clients see it: HTTP/1.1 over real sockets."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.edge_rig import KEY, Rig, an_edge, an_origin, answer_of, asking, link, until
from tests.deployment import eventually

from matinee.edge.ports import Metric

SEGMENT = os.urandom(300_000)
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy.")


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    return uvloop.EventLoopPolicy()


@pytest.fixture(params=["reactor", "nginx"])
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    impatient = {"header_timeout_s": 1, "idle_timeout_s": 2}
    async with an_origin() as origin, an_edge(tmp_path, origin, plane=request.param, **impatient) as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        origin.objects["assets/ast_1/empty.vtt"] = b""
        origin.objects["art/tit_1/poster.webp"] = b"a poster"
        yield rig


async def test_a_segment_comes_whole_with_what_players_need_to_know(rig: Rig) -> None:
    for _ in range(2):  # from the origin, then from the disk: no difference
        answer = await rig.ask(link("v/1.m4s"))
        assert (answer.status, answer.body) == (200, SEGMENT)
        told = {name: answer.headers[name] for name in answer.headers.keys() - {"date", "server", "connection"}}
        assert told == {
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


async def test_artwork_takes_no_token(rig: Rig) -> None:
    answer = await rig.ask("/art/tit_1/poster.webp?w=1")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"a poster", "image/webp")


async def test_an_empty_file_is_a_file(rig: Rig) -> None:
    for _ in range(2):
        answer = await rig.ask(link("empty.vtt"))
        assert (answer.status, answer.headers["content-length"]) == (200, "0")
    assert (await rig.ask(link("empty.vtt"), "Range: bytes=0-")).status in {200, 416}  # RFC 9110 §14.2: either will do


async def test_head_tells_the_same_without_the_bytes(rig: Rig) -> None:
    for _ in range(2):
        answer = await rig.ask(link("v/1.m4s"), method="HEAD")
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "300000", b"")
    assert (await rig.ask(link("none"), method="HEAD")).status == 404


async def test_a_player_can_ask_across_origins(rig: Rig) -> None:
    asked = ("Origin: https://tv", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: range")
    answer = await rig.ask(link("v/1.m4s"), *asked, method="OPTIONS")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")
    assert "Range" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "86400"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 300_010) | st.none(), last=st.integers(0, 300_010) | st.none())
async def test_a_range_is_a_slice(rig: Rig, first: int | None, last: int | None) -> None:
    if first is None and last is None:
        return
    header = f"Range: bytes={'' if first is None else first}-{'' if last is None else last}"
    answer = await rig.ask(link("v/1.m4s"), header)
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


async def test_conditions_save_the_bytes(rig: Rig) -> None:
    path, etag, date = link("v/1.m4s"), '"493e0"', "Sun, 06 Nov 1994 08:49:37 GMT"
    for header in (f"If-None-Match: {etag}", "If-None-Match: *", f"If-Modified-Since: {date}"):
        answer = await rig.ask(path, header)
        assert (answer.status, answer.headers["etag"], answer.body) == (304, etag, b"")
    assert (await rig.ask(path, 'If-None-Match: "other"', f"If-Modified-Since: {date}")).status == 200
    assert (await rig.ask(path, f"If-Range: {etag}", "Range: bytes=0-9")).body == SEGMENT[:10]
    assert (await rig.ask(path, 'If-Range: "other"', "Range: bytes=0-9")).status == 200
    assert (await rig.ask(path, "Range: bytes=0-1,5-6")).body == SEGMENT


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
    ids=range(8),  # links hold the time, and every worker of a run must know the tests by the same names
)
async def test_a_link_that_is_not_good_is_refused_and_leaks_nothing(rig: Rig, path: str) -> None:
    answer = await rig.ask(path)
    assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")
    assert msgspec.json.decode(answer.body)["type"] == "/problems/link-refused"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert not rig.origin.requests


async def test_a_link_ends_with_its_time_even_where_it_was_good_before(rig: Rig) -> None:
    path = link("v/1.m4s", seconds=4)
    assert (await rig.ask(path)).status == 200
    # A data plane may look at a clock that is some milliseconds old.
    await until(lambda: int(path.split("/")[2].split("-")[0], 16) + 1 <= time.time())
    assert (await rig.ask(path)).status == 403


async def test_keys_are_rotated_without_a_refusal(tmp_path: Path) -> None:
    async with an_origin() as origin, an_edge(tmp_path, origin, token_keys=(b"new", KEY)) as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        assert (await rig.ask(link("v/1.m4s"))).status == 200
        assert (await rig.ask(link("v/1.m4s", key=b"new"))).status == 200
        assert (await rig.ask(link("v/1.m4s", key=b"old"))).status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/", "/index.html", "/metrics", "/admin", "/art/", "/art/../assets/ast_1/v/1.m4s", "/art/%2e%2e/x",
        "/art/..%2f..%2fetc/passwd", "//etc/passwd", "/art//etc/passwd", "/art/a%00b", "/art/.ssh/id",
        link("../ast_2/v/1.m4s"), link("v/%2e%2e/1.m4s"), link("v//1.m4s"), link(""), "/t//assets/ast_1/v/1.m4s",
    ],
    ids=range(17),  # as above
)  # fmt: skip
async def test_no_path_leads_elsewhere(rig: Rig, path: str) -> None:
    answer = await rig.ask(path)
    assert answer.status in {400, 403, 404}
    assert not rig.origin.requests
    assert rig.stored() == 0


async def test_health_and_figures(rig: Rig) -> None:
    assert (await rig.ask("/healthz")).body == b"ok\n"
    await rig.ask(link("v/1.m4s"))
    await until(rig.stored)
    await rig.ask(link("v/1.m4s"))
    await until(lambda: rig.count(Metric.HITS))
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{rig.server.admin_port}/metrics") as r,
    ):
        page = await r.text()
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    named = {name.partition("{")[0].removeprefix("matinee_edge_"): int(value) for name, value in figures.items()}
    assert (named["hits_total"], named["misses_total"], named["fills_total"]) == (1, 1, 1)
    assert named["sent_bytes_total"] > 600_000
    assert named["workers"] >= 1


async def test_requests_on_one_connection_are_answered_in_order(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    for at in range(0, 50, 10):  # all sent before one is read
        writer.write(f"GET {link('v/1.m4s')} HTTP/1.1\r\nHost: e\r\nRange: bytes={at}-{at + 9}\r\n\r\n".encode())
    assert [(await answer_of(reader)).body for _ in range(5)] == [SEGMENT[at : at + 10] for at in range(0, 50, 10)]
    assert (await asking(reader, writer, link("v/1.m4s"))).body == SEGMENT
    writer.close()


async def test_a_request_may_come_letter_by_letter(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    for letter in f"GET {link('v/1.m4s')} HTTP/1.1\r\nHost: e\r\n\r\n":
        writer.write(letter.encode())
        await writer.drain()
        await asyncio.sleep(0)
    assert (await answer_of(reader)).body == SEGMENT
    writer.close()


async def test_old_and_closing_clients_see_the_end(rig: Rig) -> None:
    path = link("v/1.m4s")
    for request in (f"GET {path} HTTP/1.0\r\n\r\n", f"GET {path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n"):
        answer = await rig.say(request.encode())
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(SEGMENT)


async def test_a_whole_url_is_a_target_too(rig: Rig) -> None:
    request = f"GET http://edge{link('v/1.m4s')} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n"
    assert (await rig.say(request.encode())).endswith(SEGMENT)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_only_reading_is_allowed(rig: Rig, method: str) -> None:
    answer = await rig.ask(link("v/1.m4s"), method=method)
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
async def test_what_is_no_good_request_gets_an_answer_and_the_door(rig: Rig, data: bytes, status: int) -> None:
    answer = await rig.say(data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert rig.is_terse or b"\r\nConnection: close\r\n" in answer
    assert (await rig.ask("/healthz")).status == 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(min_size=1, max_size=300))
async def test_garbage_harms_nobody(rig: Rig, garbage: bytes) -> None:
    answer = await rig.say(garbage + b"\r\n\r\n\r\n")
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
    assert (await rig.ask("/healthz")).status == 200


async def test_a_client_that_never_ends_its_request_is_shown_out(rig: Rig) -> None:
    for start in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: e\r\nX-Slow: "):
        answer = await rig.say(start)
        assert answer == b"" if not start or rig.is_terse else answer.startswith(b"HTTP/1.1 408 ")


async def test_dripping_letters_does_not_buy_time(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)

    async def drip() -> None:
        while True:
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.05)

    writer.write(b"GET /healthz HTTP/1.1\r\n")
    dripping = asyncio.create_task(drip())
    with suppress(ConnectionResetError):
        assert rig.is_terse or (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 408 ")
        await asyncio.wait_for(reader.read(), 20)
    dripping.cancel()
    writer.close()


async def test_a_client_that_does_not_read_is_shown_out(tmp_path: Path) -> None:
    async with an_origin() as origin, an_edge(tmp_path, origin, send_timeout_s=1) as rig:
        origin.objects["assets/ast_1/big.mp4"] = bytes(30_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
        writer.write(f"GET {link('big.mp4')} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
        await reader.readexactly(100)
        await until(lambda: rig.count(Metric.CONNECTIONS) == 0)
        writer.close()


async def test_clients_over_the_limit_are_told_so(tmp_path: Path) -> None:
    async with an_origin() as origin, an_edge(tmp_path, origin, max_connections=2) as rig:
        held = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(2)]
        await until(lambda: rig.count(Metric.CONNECTIONS) == 2)
        assert b" 503 " in await rig.say(b"")
        for _, writer in held:
            writer.close()
        await until(lambda: rig.count(Metric.CONNECTIONS) == 0)
        assert (await rig.ask("/healthz")).status == 200


async def test_stopping_lets_answers_end(tmp_path: Path) -> None:
    async with an_origin() as origin, an_edge(tmp_path, origin) as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        origin.pause_at = 1000
        asking_ = asyncio.create_task(rig.ask(link("v/1.m4s")))
        await until(lambda: rig.origin.requests)
        stopping = asyncio.create_task(rig.server.stop(20))
        await eventually(lambda: refuses(rig))
        assert not stopping.done()
        origin.go_on.set()
        assert (await asking_).body == SEGMENT
        await stopping


async def refuses(rig: Rig) -> bool:
    """Whether nobody listens any more."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
