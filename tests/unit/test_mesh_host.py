"""Responses of a host to invalid requests and probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from tests.unit.mesh_rig import KEY, Playhouse, Rig, Theatre, open_rig

from matinee.drivers.asgi import Server
from matinee.drivers.engine import EngineState
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response
from matinee.drivers.metrics import Metrics
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.mesh.host import Host, Readiness
from matinee.mesh.service import Services

BEARER = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
DESCRIBE = "/rpc/theatre/describe"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig(0) as rig:
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


async def test_a_valid_call(rig: Rig) -> None:
    answer = await ask(rig, DESCRIBE)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert msgspec.json.decode(answer.body)["name"] == "playhouse 0"


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer wrong", "Bearer " + KEY + "x", "Basic " + KEY, "Bearer ключ"])
async def test_a_wrong_key_is_refused(rig: Rig, key: str) -> None:
    answer = await ask(rig, "/rpc/theatre/book", b'{"row":1}', headers={"authorization": key})
    assert (answer.status, kind(answer)) == (401, "/problems/unauthenticated")
    assert rig.running[0].playhouse.booked == []


async def test_a_missing_key_is_refused(rig: Rig) -> None:
    assert (await ask(rig, DESCRIBE, headers={})).status == 401


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name":1}', b'{"name":"\\ud800"}'])
async def test_malformed_arguments_are_invalid(rig: Rig, body: bytes) -> None:
    answer = await ask(rig, DESCRIBE, body)
    assert (answer.status, kind(answer)) == (422, "/problems/invalid")
    assert msgspec.json.decode(answer.body)["faults"]


async def test_deeply_nested_input_is_invalid(rig: Rig) -> None:
    answer = await ask(rig, DESCRIBE, b'{"name":' + b"[" * 900)
    assert answer.status == 422


async def test_an_oversized_body_is_refused(rig: Rig) -> None:
    answer = await ask(rig, "/rpc/theatre/book", b" " * 990 + b'{"row":1}  ')
    assert (answer.status, kind(answer)) == (413, "/problems/too-large")
    large = await ask(rig, "/rpc/theatre/book", b" " * 5_000_000)
    assert large.status == 413
    assert rig.running[0].playhouse.booked == []


async def test_an_oversized_body_without_a_length_is_refused(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.running[0].server.port)
    writer.write(f"POST {DESCRIBE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode())
    writer.write(b"transfer-encoding: chunked\r\n\r\n" + b"190\r\n" + b"x" * 400 + b"\r\n" + b"500\r\n" + b"x" * 1280)
    assert b"413" in await reader.readline()
    writer.close()


async def test_a_client_that_disconnects_before_its_body_is_complete(rig: Rig) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.running[0].server.port)
    writer.write(
        f"POST {DESCRIBE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 50\r\n\r\n{{".encode()
    )
    await writer.drain()
    writer.close()
    assert (await ask(rig, DESCRIBE)).status == 200


@pytest.mark.parametrize("length", ["-1", "x", "1e9", "99999999999999999999"])
async def test_an_invalid_body_length_is_refused(rig: Rig, length: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.running[0].server.port)
    writer.write(f"POST {DESCRIBE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode())
    writer.write(f"content-length: {length}\r\n\r\n".encode())
    assert (await reader.readline()).split()[1] in {b"400", b"413"}
    writer.close()


@pytest.mark.parametrize(
    "path",
    ["/rpc/theatre/none", "/rpc/none/describe", "/rpc/", "/rpc/theatre/__init__", "/rpc/theatre/describe/", "/", "/x"],
)
async def test_an_unknown_path_is_not_served(rig: Rig, path: str) -> None:
    answer = await ask(rig, path)
    assert (answer.status, kind(answer)) == (404, "/problems/not-served")


async def test_other_methods_than_post_are_not_served(rig: Rig) -> None:
    assert (await ask(rig, DESCRIBE, method="GET", body=b"")).status == 404


@pytest.mark.parametrize("deadline", ["", "-5", "soon", "9" * 40, "١٢"])
@pytest.mark.parametrize("trace", ["", "00-zz-1-01", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "x" * 500])
async def test_invalid_headers_are_ignored(rig: Rig, deadline: str, trace: str) -> None:
    answer = await ask(rig, DESCRIBE, headers={**BEARER, "x-deadline-ms": deadline, "traceparent": trace})
    description = msgspec.json.decode(answer.body)
    assert description["remaining_ms"] is None
    assert ids.decode(description["trace_id"])


async def test_a_trace_of_the_caller_is_kept(rig: Rig) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await ask(rig, DESCRIBE, headers={**BEARER, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert ids.decode(msgspec.json.decode(answer.body)["trace_id"]).hex == trace


async def test_a_bug_reveals_only_its_trace(rig: Rig) -> None:
    answer = await ask(rig, "/rpc/theatre/crash")
    assert (answer.status, kind(answer)) == (500, "/problems/service-failed")
    document = msgspec.json.decode(answer.body)
    assert document["instance"] == document["trace_id"]
    assert b"not for the caller" not in answer.body


async def test_a_draining_host_refuses_calls_and_closes_the_connection(rig: Rig) -> None:
    rig.running[0].host.drain()
    answer = await ask(rig, "/rpc/theatre/book", b'{"row":1}')
    assert (answer.status, kind(answer)) == (503, "/problems/overloaded")
    assert (answer.headers["x-mesh-refused"], answer.headers["connection"]) == ("draining", "close")
    assert rig.running[0].playhouse.booked == []


async def test_a_draining_host_interrupts_waiting_calls_without_a_deadline(rig: Rig) -> None:
    entered = rig.running[0].playhouse.entered
    waiting = asyncio.create_task(ask(rig, "/rpc/theatre/wait"))
    await entered.wait()
    entered.clear()
    lingering = asyncio.create_task(ask(rig, "/rpc/theatre/linger"))
    await entered.wait()
    rig.running[0].host.drain()
    assert ((await waiting).status, (await waiting).headers["x-mesh-refused"]) == (503, "draining")
    rig.running[0].playhouse.gate.set()
    assert (await lingering).status == 200


UNAVAILABLE = EngineState(
    engine="mariadb at 127.0.0.1:3306",
    state="unavailable",
    since=datetime(2026, 1, 1, tzinfo=UTC),
    detail="it does not answer",
)


@pytest.mark.parametrize(
    ("condition", "status", "state"),
    [
        (Readiness(), 200, "ready"),
        (Readiness(engines=(UNAVAILABLE,)), 200, "degraded"),
        (Readiness(waiting="mariadb at 127.0.0.1:3306 does not answer"), 503, "waiting"),
    ],
)
async def test_readiness_reports_engines_and_fails_only_while_waiting(
    condition: Readiness, status: int, state: str
) -> None:
    async with open_rig(0) as rig:
        await rig.start(readiness=lambda: condition)
        answer = await ask(rig, "/readyz", b"", method="GET", headers={})
        reported = msgspec.json.decode(answer.body)
        assert (answer.status, reported.pop("state")) == (status, state)
        assert msgspec.convert(reported, Readiness) == condition
        assert (await ask(rig, "/healthz", b"", method="GET", headers={})).status == 200


async def test_a_draining_host_is_not_ready(rig: Rig) -> None:
    rig.running[0].host.drain()
    drained = await ask(rig, "/readyz", b"", method="GET", headers={})
    assert (drained.status, msgspec.json.decode(drained.body)["state"]) == (503, "draining")


async def test_metrics_count_calls_and_problems(rig: Rig) -> None:
    await ask(rig, DESCRIBE)
    await ask(rig, "/rpc/theatre/refuse", b'{"row":1}')
    text = (await ask(rig, "/metrics", b"", method="GET", headers={})).body.decode()
    for line in (
        'matinee_calls_total{domain="theatre",method="describe",outcome="ok"} 1.0',
        'matinee_calls_total{domain="theatre",method="refuse",outcome="no-seats"} 1.0',
        'matinee_call_seconds_count{domain="theatre",method="describe"} 1.0',
        'matinee_calls_in_flight{domain="theatre"} 0.0',
        'matinee_call_limit{domain="theatre"} 64.0',
    ):
        assert line in text


async def test_closing_the_server_finishes_running_calls() -> None:
    async with open_rig(0) as rig:
        deployment = Playhouse("x")
        metrics = Metrics()
        services = [Services(metrics).add("theatre", Theatre, deployment)]
        host = Host(key=KEY, clock=SystemClock(), metrics=metrics, services=services)
        async with Server(host) as server:
            address = server.address
            call = rig.http.request("POST", address + "/rpc/theatre/linger", body=b"{}", headers=BEARER, timeout_s=5)
            running = asyncio.create_task(call)
            await deployment.entered.wait()
            asyncio.get_running_loop().call_later(0.2, deployment.gate.set)
        assert (await running).body == b'"x"'
        with pytest.raises(ConnectFailed):
            await rig.http.request("GET", address + "/healthz", timeout_s=5)


async def test_a_response_over_the_limit_is_not_read(rig: Rig) -> None:
    async with HttpClient(max_response_bytes=10) as http:
        with pytest.raises(ConnectionBroken, match="larger than 10"):
            await http.request("GET", rig.running[0].server.address + "/metrics", timeout_s=5)
