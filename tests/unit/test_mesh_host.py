"""What a host answers to strangers, garbage and probes, and how it stands beside another application."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from tests.unit.mesh_rig import KEY, Deployment, Rig, Theatre, rig_of

from matinee.drivers.asgi import Message, Receive, Scope, Send, Server, send_response
from matinee.drivers.engine import EngineState
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response
from matinee.drivers.metrics import Metrics
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.mesh.host import Host, Readiness

BEARER = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
LOOK = "/rpc/theatre/look"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rig_of(0) as rig:
        await rig.start(max_body_bytes=1000)
        yield rig


async def ask(
    rig: Rig, path: str, body: bytes = b"{}", *, method: str = "POST", headers: dict[str, str] = BEARER
) -> Response:
    return await rig.http.request(
        method, rig.running[-1].server.address + path, body=body, headers=headers, timeout_s=5.0
    )


def kind(answer: Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    document = msgspec.json.decode(answer.body)
    assert document["status"] == answer.status
    return str(document["type"])


async def test_a_good_call(rig: Rig) -> None:
    answer = await ask(rig, LOOK)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert msgspec.json.decode(answer.body)["name"] == "deployment 0"


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer wrong", "Bearer " + KEY + "x", "Basic " + KEY, "Bearer ключ"])
async def test_a_forged_key(rig: Rig, key: str) -> None:
    answer = await ask(rig, "/rpc/theatre/book", b'{"row":1}', headers={"authorization": key})
    assert (answer.status, kind(answer)) == (401, "/problems/unauthenticated")
    assert rig.running[0].deployment.booked == []


async def test_no_key_at_all(rig: Rig) -> None:
    assert (await ask(rig, LOOK, headers={})).status == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name":1}', b'{"name":"\\ud800"}'])
async def test_malformed_arguments(rig: Rig, body: bytes) -> None:
    answer = await ask(rig, LOOK, body)
    assert (answer.status, kind(answer)) == (422, "/problems/invalid")
    assert msgspec.json.decode(answer.body)["faults"]


async def test_deeply_nested_garbage(rig: Rig) -> None:
    answer = await ask(rig, LOOK, b'{"name":' + b"[" * 900)
    assert answer.status == 422


async def test_an_oversized_body(rig: Rig) -> None:
    answer = await ask(rig, "/rpc/theatre/book", b" " * 990 + b'{"row":1}  ')
    assert (answer.status, kind(answer)) == (413, "/problems/too-large")
    large = await ask(rig, "/rpc/theatre/book", b" " * 5_000_000)
    assert large.status == 413
    assert rig.running[0].deployment.booked == []


async def test_an_oversized_body_that_does_not_say_its_size(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.running[0].server.port)
    writer.write(f"POST {LOOK} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode())
    writer.write(b"transfer-encoding: chunked\r\n\r\n" + b"190\r\n" + b"x" * 400 + b"\r\n" + b"500\r\n" + b"x" * 1280)
    assert b"413" in await reader.readline()
    writer.close()


async def test_a_client_that_leaves_before_its_body_is_there(rig: Rig) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.running[0].server.port)
    writer.write(
        f"POST {LOOK} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 50\r\n\r\n{{".encode()
    )
    await writer.drain()
    writer.close()
    assert (await ask(rig, LOOK)).status == 200


@pytest.mark.parametrize("length", ["-1", "x", "1e9", "99999999999999999999"])
async def test_a_body_length_that_is_none(rig: Rig, length: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.running[0].server.port)
    writer.write(f"POST {LOOK} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode())
    writer.write(f"content-length: {length}\r\n\r\n".encode())
    assert (await reader.readline()).split()[1] in {b"400", b"413"}
    writer.close()


@pytest.mark.parametrize(
    "path", ["/rpc/theatre/none", "/rpc/none/look", "/rpc/", "/rpc/theatre/__init__", "/rpc/theatre/look/", "/", "/x"]
)
async def test_what_is_not_there(rig: Rig, path: str) -> None:
    answer = await ask(rig, path)
    assert (answer.status, kind(answer)) == (404, "/problems/not-served")


async def test_only_post(rig: Rig) -> None:
    assert (await ask(rig, LOOK, method="GET", body=b"")).status == 404


@pytest.mark.parametrize("deadline", ["", "-5", "soon", "9" * 40, "١٢"])
@pytest.mark.parametrize("trace", ["", "00-zz-1-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "x" * 500])
async def test_strange_headers_are_taken_as_none(rig: Rig, deadline: str, trace: str) -> None:
    answer = await ask(rig, LOOK, headers={**BEARER, "x-deadline-ms": deadline, "traceparent": trace})
    seen = msgspec.json.decode(answer.body)
    assert seen["left_ms"] is None
    assert ids.decode(seen["trace_id"])


async def test_a_trace_from_outside_is_kept(rig: Rig) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await ask(rig, LOOK, headers={**BEARER, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert ids.decode(msgspec.json.decode(answer.body)["trace_id"]).hex == trace


async def test_a_bug_shows_nothing_but_its_trace(rig: Rig) -> None:
    answer = await ask(rig, "/rpc/theatre/crash")
    assert (answer.status, kind(answer)) == (500, "/problems/service-failed")
    document = msgspec.json.decode(answer.body)
    assert document["instance"] == document["trace_id"]
    assert b"not for the caller" not in answer.body


async def test_a_drained_host_refuses_says_so_and_closes(rig: Rig) -> None:
    rig.running[0].host.drain()
    answer = await ask(rig, "/rpc/theatre/book", b'{"row":1}')
    assert (answer.status, kind(answer)) == (503, "/problems/overloaded")
    assert (answer.headers["x-mesh-refused"], answer.headers["connection"]) == ("draining", "close")
    assert rig.running[0].deployment.booked == []


async def test_a_drained_host_sends_waiting_calls_away_even_without_a_deadline(rig: Rig) -> None:
    entered = rig.running[0].deployment.entered
    waiting = asyncio.create_task(ask(rig, "/rpc/theatre/wait"))
    await entered.wait()
    entered.clear()
    lingering = asyncio.create_task(ask(rig, "/rpc/theatre/linger"))
    await entered.wait()
    rig.running[0].host.drain()
    assert ((await waiting).status, (await waiting).headers["x-mesh-refused"]) == (503, "draining")
    rig.running[0].deployment.gate.set()
    assert (await lingering).status == 200


AWAY = EngineState(
    engine="mariadb at 127.0.0.1:3306",
    state="unavailable",
    since=datetime(2026, 1, 1, tzinfo=UTC),
    detail="it does not answer",
)


@pytest.mark.parametrize(
    ("condition", "status", "state"),
    [
        (Readiness(), 200, "ready"),
        (Readiness(engines=(AWAY,)), 200, "degraded"),
        (Readiness(waiting="mariadb at 127.0.0.1:3306 does not answer"), 503, "waiting"),
    ],
)
async def test_readiness_tells_of_engines_and_is_lost_only_where_another_could_do_better(
    condition: Readiness, status: int, state: str
) -> None:
    async with rig_of(0) as rig:
        await rig.start(readiness=lambda: condition)
        answer = await ask(rig, "/readyz", b"", method="GET", headers={})
        told = msgspec.json.decode(answer.body)
        assert (answer.status, told.pop("state")) == (status, state)
        assert msgspec.convert(told, Readiness) == condition
        assert (await ask(rig, "/healthz", b"", method="GET", headers={})).status == 200


async def test_who_drains_is_not_ready(rig: Rig) -> None:
    rig.running[0].host.drain()
    drained = await ask(rig, "/readyz", b"", method="GET", headers={})
    assert (drained.status, msgspec.json.decode(drained.body)["state"]) == (503, "draining")


async def test_metrics_tell_of_calls_and_problems(rig: Rig) -> None:
    await ask(rig, LOOK)
    await ask(rig, "/rpc/theatre/refuse", b'{"row":1}')
    text = (await ask(rig, "/metrics", b"", method="GET", headers={})).body.decode()
    for line in (
        'matinee_calls_total{domain="theatre",method="look",outcome="ok"} 1.0',
        'matinee_calls_total{domain="theatre",method="refuse",outcome="no-seats"} 1.0',
        'matinee_call_seconds_count{domain="theatre",method="look"} 1.0',
        'matinee_calls_in_flight{domain="theatre"} 0.0',
        'matinee_call_limit{domain="theatre"} 64.0',
    ):
        assert line in text


class Front:
    """Another application: answers anything, and notes its lifespan."""

    def __init__(self, *, starts: bool = True) -> None:
        self.notes: list[str] = []
        self._starts = starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send_response(send, 200, f"front {scope['path']}".encode(), [])

    async def _live(self, receive: Receive, send: Send) -> None:
        while not self.notes or self.notes[-1] != "lifespan.shutdown":
            message: Message = await receive()
            self.notes.append(message["type"])
            await send({"type": f"{message['type']}.{'complete' if self._starts else 'failed'}"})


async def test_beside_another_application() -> None:
    front = Front()
    async with rig_of(0) as rig:
        await rig.start(app=front)
        assert (await ask(rig, "/anything", method="GET")).body == b"front /anything"
        assert (await ask(rig, LOOK)).status == 200
        assert (await ask(rig, "/healthz", method="GET")).body == b'"ok"'
        assert front.notes == ["lifespan.startup"]
    assert front.notes == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_application_that_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        async with Server(Front(starts=False)):
            pass


async def test_a_taken_port_is_told() -> None:
    host = Host(key=KEY, clock=SystemClock(), metrics=Metrics())
    async with Server(host) as server:
        with pytest.raises(OSError, match="in use"):
            async with Server(host, port=server.port):
                pass


async def test_a_socket_from_outside_is_served() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    host = Host(key=KEY, clock=SystemClock(), metrics=Metrics())
    async with Server(host, listener=listening) as server, HttpClient() as http:
        assert server.port == listening.getsockname()[1]
        assert (await http.request("GET", server.address + "/healthz", timeout_s=5)).status == 200


async def test_leaving_the_block_lets_a_running_call_finish_then_nobody_listens() -> None:
    async with rig_of(0) as rig:
        deployment = Deployment("x")
        host = Host(key=KEY, clock=SystemClock(), metrics=Metrics())
        host.serve("theatre", Theatre, deployment)
        async with Server(host) as server:
            address = server.address
            call = rig.http.request("POST", address + "/rpc/theatre/linger", body=b"{}", headers=BEARER, timeout_s=5)
            running = asyncio.create_task(call)
            await deployment.entered.wait()
            asyncio.get_running_loop().call_later(0.2, deployment.gate.set)
        assert (await running).body == b'"x"'
        with pytest.raises(ConnectFailed):
            await rig.http.request("GET", address + "/healthz", timeout_s=5)


async def test_an_answer_over_the_limit_is_not_read(rig: Rig) -> None:
    async with HttpClient(max_response_bytes=10) as http:
        with pytest.raises(ConnectionBroken, match="larger than 10"):
            await http.request("GET", rig.running[0].server.address + "/metrics", timeout_s=5)


async def test_nor_one_that_does_not_say_its_size() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await Front()(scope, receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        return await send({"type": "http.response.body", "body": b""})

    async with Server(Host(key=KEY, clock=SystemClock(), metrics=Metrics(), app=endless)) as server:
        async with HttpClient() as http:
            assert len((await http.request("GET", server.address, timeout_s=5)).body) == 100_000
        async with HttpClient(max_response_bytes=5000) as http:
            with pytest.raises(ConnectionBroken, match="larger than 5000"):
                await http.request("GET", server.address, timeout_s=5)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_an_address_can_be_called(host: str) -> None:
    async with Server(Host(key=KEY, clock=SystemClock(), metrics=Metrics()), host=host) as server:
        assert server.address == f"http://127.0.0.1:{server.port}"
