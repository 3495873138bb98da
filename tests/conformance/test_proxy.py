"""The proxy: routes, tokens, limits, retries, and changes of its configuration without a failed request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace
from tests.deployment import eventually, find_free_port

from matinee.drivers import envoy
from matinee.drivers.asgi import Receive, Scope, Send, Server
from matinee.drivers.authority import CertificateAuthority
from matinee.drivers.jwt import Signer
from matinee.gateway.adapters.envoy import EnvoyProxy
from matinee.gateway.model.proxy import Certificate, Endpoint, ProxyConfig, ProxySettings, build_proxy_config
from matinee.gateway.ports import Proxy
from matinee.identity.api import PublicKey, PublicKeys

SECRET = "between us"


@dataclass
class Backend:
    """A gateway or an edge that reports its name and records requests."""

    name: str
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    status: int = 200
    delay_s: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        healthy = scope["path"] in {"/readyz", "/healthz"}
        if not healthy:
            sent = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.requests.append((scope["method"], scope["path"], sent))
            await asyncio.sleep(self.delay_s)
        answer = msgspec.json.encode({"name": self.name, "bytes": len(body)})
        status = 200 if healthy else self.status
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": answer})


async def _lifespan(receive: Receive, send: Send) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


@dataclass
class ProxyRig:
    """A proxy with two gateways and two edges behind it."""

    proxy: Proxy
    reopen: Callable[[], Proxy]
    port: int
    http: aiohttp.ClientSession
    signer: Signer
    gateways: dict[str, tuple[Backend, Server]]
    edges: dict[str, tuple[Backend, Server]]
    settings: ProxySettings
    scheme: str = "http"

    def config(self, gateways: str = "ab", edges: str = "cd", **changes: Any) -> ProxyConfig:
        """Return the configuration with these instances."""
        return build_proxy_config(
            replace(self.settings, **changes),
            gateways=[_endpoint(self.gateways[name][1]) for name in gateways],
            edges=[_endpoint(self.edges[name][1]) for name in edges],
            keys=PublicKeys(keys=[PublicKey(**key) for key in self.signer.public_keys()]),
        )

    def token(self, subject: str = "acc_1", **claims: Any) -> dict[str, str]:
        """Return the header of a signed-in client."""
        now = int(time.time())
        payload = {"iss": "matinee", "aud": "matinee", "sub": subject, "iat": now, "exp": now + 60, **claims}
        return {"Authorization": f"Bearer {self.signer.sign(payload)}"}

    async def call(
        self, method: str, path: str, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> tuple[int, Any, Any]:
        """Return status, headers and body."""
        url = f"{self.scheme}://127.0.0.1:{self.port}{path}"
        async with self.http.request(method, url, headers=headers, data=data) as answer:
            body = await answer.read()
            return answer.status, answer.headers, msgspec.json.decode(body) if body else None

    async def wait_for_status(self, path: str = "/", *, status: int = 200) -> None:
        """Wait until a path has this status."""
        end = time.monotonic() + 20
        while True:
            try:
                found: Any = (await self.call("GET", path, self.token()))[0]
            except aiohttp.ClientError as error:
                found = error
            if found == status:
                return
            assert time.monotonic() < end, f"{path} has not answered {status} but {found!r}"
            await asyncio.sleep(0.05)


def _endpoint(server: Server) -> Endpoint:
    return Endpoint("127.0.0.1", server.port)


def start_envoy(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("w") as log:
        return subprocess.Popen(envoy.build_command(folder), stdout=log, stderr=log)


@asynccontextmanager
async def run_envoy(folder: Path) -> AsyncIterator[None]:
    """Run Envoy with the configuration in a folder."""
    process = start_envoy(folder)
    try:
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ProxyRig]:
    async with AsyncExitStack() as stack:

        async def backend(name: str) -> tuple[Backend, Server]:
            app = Backend(name)
            return app, await stack.enter_async_context(Server(app, graceful_s=1))

        folder = tmp_path / "envoy"
        proxy_rig = ProxyRig(
            proxy=EnvoyProxy(folder),
            reopen=lambda: EnvoyProxy(folder),
            port=find_free_port(),
            http=await stack.enter_async_context(aiohttp.ClientSession()),
            signer=Signer.open(tmp_path / "keys.pem"),
            gateways={name: await backend(name) for name in "abe"},
            edges={name: await backend(name) for name in "cd"},
            settings=ProxySettings(port=1, secret=SECRET),
        )
        proxy_rig.settings = replace(proxy_rig.settings, port=proxy_rig.port)
        await proxy_rig.proxy.apply(proxy_rig.config())
        await stack.enter_async_context(run_envoy(folder))
        await proxy_rig.wait_for_status()
        await proxy_rig.wait_for_status("/art/x.jpg")
        yield proxy_rig


async def test_unchanged_configuration_is_not_applied_again(rig: ProxyRig) -> None:
    assert not await rig.proxy.apply(rig.config())
    assert not await rig.reopen().apply(rig.config())
    assert await rig.reopen().apply(rig.config(gateways="a"))


async def test_only_the_owner_reaches_the_admin_page(rig: ProxyRig, tmp_path: Path) -> None:
    path = Path(envoy.read_admin_socket(tmp_path / "envoy"))
    mode = (await asyncio.to_thread(path.stat)).st_mode
    assert (stat.S_ISSOCK(mode), mode & 0o777) == (True, 0o600)
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession(connector=connector) as http, http.get("http://envoy/stats/prometheus") as page:
        assert page.status == 200


async def test_requests_are_routed(rig: ProxyRig) -> None:
    for path, names in (("/", "ab"), ("/titles/x", "ab"), ("/api/v1/home", "ab"), ("/art/a/b.jpg", "cd")):
        status, _, body = await rig.call("GET", path, rig.token())
        assert status == 200
        assert body["name"] in names
    for path in ("/metrics", "/healthz", "/readyz", "/rpc/identity/account", "/%2e/metrics", "//rpc/x"):
        status, headers, body = await rig.call("GET", path)
        assert (status, body["type"]) == (404, "/problems/no-such-page"), path
        assert headers["Content-Type"] == "application/problem+json"


async def test_gateway_gets_the_secret_and_the_client_address(rig: ProxyRig) -> None:
    forged = {"X-Matinee-Proxy": "guess", "X-Forwarded-For": "203.0.113.9", "X-Envoy-Max-Retries": "99"}
    await rig.call("GET", "/api/v1/auth/x", forged)
    *_, headers = max(
        (one for backend, _ in rig.gateways.values() for one in backend.requests if one[1] == "/api/v1/auth/x")
    )
    assert headers["x-matinee-proxy"] == SECRET
    # For a client on loopback Envoy appends the machine's own address; the forged one is never the last.
    assert headers["x-forwarded-for"].rpartition(",")[2].strip() not in {"", "203.0.113.9"}
    assert "x-envoy-max-retries" not in headers


def headers_at_gateway(rig: ProxyRig, path: str) -> dict[str, str]:
    """Return the headers of the last request that a gateway received."""
    requests = [one for backend, _ in rig.gateways.values() for one in backend.requests if one[1] == path]
    return requests[-1][2]


async def test_clients_behind_a_trusted_proxy_have_limits_of_their_own(rig: ProxyRig) -> None:
    """Every client of this test has the address of the proxy: 127.0.0.1."""
    client, other = ({"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.9"} for number in (1, 2))

    async def is_limited(headers: dict[str, str]) -> bool:
        return 429 in [(await rig.call("POST", "/api/v1/auth/sign-in", headers))[0] for _ in range(8)]

    trusted = ("127.0.0.0/8", "203.0.113.0/24")
    await rig.proxy.apply(rig.config(sign_ins_per_minute=3, trusted=trusted))
    await eventually(lambda: is_limited(client))
    assert (await rig.call("POST", "/api/v1/auth/sign-in", other))[0] == 200
    forged = {**client, "X-Envoy-Max-Retries": "99", "X-Envoy-Retry-On": "5xx"}
    await rig.call("GET", "/api/v1/auth/x", forged)
    headers = headers_at_gateway(rig, "/api/v1/auth/x")
    assert headers["x-forwarded-for"] == "198.51.100.1"
    assert not [name for name in headers if name.startswith("x-envoy-")]


async def test_forwarded_addresses_of_other_peers_are_ignored(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(sign_ins_per_minute=3, trusted=("203.0.113.0/24",)))
    numbers = itertools.count()

    async def is_limited() -> bool:
        headers = {"X-Forwarded-For": f"203.0.113.9, 198.51.100.{next(numbers) % 250}"}
        return 429 in [(await rig.call("POST", "/api/v1/auth/sign-in", headers))[0] for _ in range(8)]

    await eventually(is_limited)
    await rig.call("GET", "/api/v1/auth/x", {"X-Forwarded-For": "198.51.100.1"})
    assert headers_at_gateway(rig, "/api/v1/auth/x")["x-forwarded-for"] == "127.0.0.1"


async def test_proxies_that_use_http_1_0_are_answered(rig: ProxyRig) -> None:
    for host in (b"", b"Host: films.example.org\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"GET /titles/x HTTP/1.0\r\n" + host + b"\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()
        await writer.wait_closed()


async def test_one_edge_is_reached_below_its_name(rig: ProxyRig) -> None:
    edge = {"edge-c": [_endpoint(rig.edges["c"][1])]}
    keys = PublicKeys(keys=[PublicKey(**key) for key in rig.signer.public_keys()])
    config = build_proxy_config(
        rig.settings, gateways=rig.config().clusters[0].endpoints, edges=[], keys=keys, named_edges=edge
    )
    await rig.proxy.apply(config)

    async def is_served() -> bool:
        status, _, body = await rig.call("GET", "/edge/edge-c/t/token/assets/a/v/1.m4s")
        return status == 200 and body["name"] == "c"

    await eventually(is_served)
    assert rig.edges["c"][0].requests[-1][1] == "/t/token/assets/a/v/1.m4s"
    for path in ("/edge/edge-c", "/edge/edge-x/t/a"):
        assert (await rig.call("GET", path))[2]["name"] in "ab", "the gateway answers"


async def test_ipv6_clients_are_served(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(host="::", port=(port := find_free_port())))
    for host in ("[::1]", "127.0.0.1"):

        async def is_served(url: str = f"http://{host}:{port}/api/v1/auth/x") -> bool:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with rig.http.get(url) as answer:
                    return answer.status == 200
            return False

        await eventually(is_served)
    assert headers_at_gateway(rig, "/api/v1/auth/x")["x-forwarded-for"] in {"127.0.0.1", "::1"}


async def test_proxy_verifies_tokens(rig: ProxyRig, tmp_path: Path) -> None:
    now = int(time.time())
    theirs = Signer.open(tmp_path / "theirs.pem")
    valid = {"iss": "matinee", "aud": "matinee", "sub": "acc_1", "iat": now, "exp": now + 60}
    refused = {
        "none": {},
        "garbage": {"Authorization": "Bearer x.y.z"},
        "forged": {"Authorization": f"Bearer {theirs.sign(valid)}"},
        "expired": rig.token(exp=now - 5),
        "of another deployment": rig.token(iss="elsewhere"),
        "for another": rig.token(aud="elsewhere"),
    }
    for name, headers in refused.items():
        for path in ("/api/v1/home", "/api/v1/operator/uploads", "/api/v1/auth/sign-out-everywhere"):
            status, sent, body = await rig.call("GET", path, headers)
            assert (status, body["type"]) == (401, "/problems/unauthenticated"), (name, path)
            assert sent["Content-Type"] == "application/problem+json"
    token = rig.signer.sign(valid)
    assert (await rig.call("GET", f"/api/v1/home?access_token={token}"))[0] == 401
    assert not [one for backend, _ in rig.gateways.values() for one in backend.requests if one[1].startswith("/api")]
    assert (await rig.call("GET", "/api/v1/home", rig.token()))[0] == 200
    upgrade = {**rig.token(), "Connection": "Upgrade", "Upgrade": "websocket"}
    status, _, body = await rig.call("GET", "/api/v1/home", upgrade)
    assert (status, body["type"]) == (400, "/problems/malformed-request"), "not a matter of the token"
    for path in ("/api/v1/auth/refresh", "/api/v1/playback/pls_1/manifest/t/m.mpd", "/api/v1/licences/hls/t/k"):
        assert (await rig.call("GET", path))[0] == 200
    assert (await rig.call("POST", "/api/v1/playback/pls_1/beacon/t"))[0] == 200
    assert (await rig.call("POST", "/api/v1/playback/pls_1/heartbeat"))[0] == 401


async def test_rate_limits_are_per_client(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(requests_per_minute=60, sign_ins_per_minute=3))
    numbers = itertools.count()

    async def is_limited() -> bool:
        token = rig.token(f"acc_{next(numbers)}")
        return 429 in [(await rig.call("GET", "/api/v1/home", token))[0] for _ in range(40)]

    await eventually(is_limited)
    statuses = [(await rig.call("POST", "/api/v1/auth/sign-in"))[0] for _ in range(8)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses
    status, headers, body = await rig.call("POST", "/api/v1/auth/sign-in")
    assert (status, body["type"], headers["Retry-After"]) == (429, "/problems/too-many-requests", "1")
    assert (await rig.call("POST", "/api/v1/auth/sign-up"))[0] == 429, "one limit for both"
    for path in ("/api/v1/auth/sign-out", "/api/v1/auth/sign-out-everywhere", "/api/v1/auth/refresh"):
        assert (await rig.call("POST", path, rig.token("acc_c")))[0] == 200, path
    many = [(await rig.call("GET", "/api/v1/home", rig.token("acc_a")))[0] for _ in range(40)]
    assert many[:15] == [200] * 15
    assert 429 in many
    assert (await rig.call("GET", "/api/v1/home", rig.token("acc_b")))[0] == 200
    assert (await rig.call("GET", "/"))[0] == 200


async def test_signing_out_has_a_limit_of_its_own(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(sign_ins_per_minute=3))

    async def is_limited() -> bool:
        return 429 in [(await rig.call("POST", "/api/v1/auth/sign-in"))[0] for _ in range(8)]

    await eventually(is_limited)
    sign_outs = [(await rig.call("POST", "/api/v1/auth/sign-out"))[0] for _ in range(80)]
    assert sign_outs[:60] == [200] * 60
    assert 429 in sign_outs


async def test_body_limit_does_not_apply_to_uploads(rig: ProxyRig) -> None:
    large = b"x" * (300 << 10)
    status, _, body = await rig.call("POST", "/api/v1/profiles", rig.token(), large)
    assert (status, body["type"]) == (413, "/problems/too-large")
    status, _, body = await rig.call("PATCH", "/api/v1/operator/uploads/upl_1", rig.token(), large * 8)
    assert (status, body["bytes"]) == (200, len(large) * 8)


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
