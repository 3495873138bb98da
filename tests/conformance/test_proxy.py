"""Whatever stands in front: routes, tokens, limits and retries; and changing all of it without a failed request."""

from __future__ import annotations

import asyncio
import itertools
import ssl
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
    """A gateway or an edge that tells who it is and what it was sent."""

    name: str
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    status: int = 200
    slow_s: float = 0.0

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
            self.seen.append((scope["method"], scope["path"], sent))
            await asyncio.sleep(self.slow_s)
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
class Stage:
    """A proxy with two gateways and two edges behind it."""

    proxy: Proxy
    reopen: Callable[[], Proxy]
    port: int
    http: aiohttp.ClientSession
    signer: Signer
    gateways: dict[str, tuple[Backend, Server]]
    edges: dict[str, tuple[Backend, Server]]
    doors: ProxySettings
    scheme: str = "http"

    def front(self, gateways: str = "ab", edges: str = "cd", **changes: Any) -> ProxyConfig:
        """The front with these instances."""
        return build_proxy_config(
            replace(self.doors, **changes),
            gateways=[_endpoint(self.gateways[name][1]) for name in gateways],
            edges=[_endpoint(self.edges[name][1]) for name in edges],
            keys=PublicKeys(keys=[PublicKey(**key) for key in self.signer.public_keys()]),
        )

    def token(self, subject: str = "acc_1", **claims: Any) -> dict[str, str]:
        """The header of somebody signed in."""
        now = int(time.time())
        said = {"iss": "matinee", "aud": "matinee", "sub": subject, "iat": now, "exp": now + 60, **claims}
        return {"Authorization": f"Bearer {self.signer.sign(said)}"}

    async def call(
        self, method: str, path: str, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> tuple[int, Any, Any]:
        """Status, headers, body."""
        url = f"{self.scheme}://127.0.0.1:{self.port}{path}"
        async with self.http.request(method, url, headers=headers, data=data) as answer:
            body = await answer.read()
            return answer.status, answer.headers, msgspec.json.decode(body) if body else None

    async def answers(self, path: str = "/", *, status: int = 200) -> None:
        """Wait until it is as it should be."""
        end = time.monotonic() + 20
        while True:
            try:
                seen: Any = (await self.call("GET", path, self.token()))[0]
            except aiohttp.ClientError as error:
                seen = error
            if seen == status:
                return
            assert time.monotonic() < end, f"{path} never answered {status} but {seen!r}"
            await asyncio.sleep(0.05)


def _endpoint(server: Server) -> Endpoint:
    return Endpoint("127.0.0.1", server.port)


def started(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("w") as log:
        return subprocess.Popen(envoy.build_command(folder), stdout=log, stderr=log)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[None]:
    """Envoy on a folder, until the block ends."""
    process = started(folder)
    try:
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:

        async def backend(name: str) -> tuple[Backend, Server]:
            app = Backend(name)
            return app, await stack.enter_async_context(Server(app, graceful_s=1))

        folder = tmp_path / "envoy"
        made = Stage(
            proxy=EnvoyProxy(folder),
            reopen=lambda: EnvoyProxy(folder),
            port=find_free_port(),
            http=await stack.enter_async_context(aiohttp.ClientSession()),
            signer=Signer.open(tmp_path / "keys.pem"),
            gateways={name: await backend(name) for name in "abe"},
            edges={name: await backend(name) for name in "cd"},
            settings=ProxySettings(port=1, secret=SECRET),
        )
        made.doors = replace(made.doors, port=made.port)
        await made.proxy.apply(made.front())
        await stack.enter_async_context(running(folder))
        await made.answers()
        await made.answers("/art/x.jpg")
        yield made


async def test_the_same_again_changes_nothing(stage: Stage) -> None:
    assert not await stage.proxy.apply(stage.front())
    assert not await stage.reopen().apply(stage.front())
    assert await stage.reopen().apply(stage.front(gateways="a"))


async def test_everything_goes_where_it_belongs(stage: Stage) -> None:
    for path, names in (("/", "ab"), ("/titles/x", "ab"), ("/api/v1/home", "ab"), ("/art/a/b.jpg", "cd")):
        status, _, body = await stage.call("GET", path, stage.token())
        assert status == 200
        assert body["name"] in names
    for path in ("/metrics", "/healthz", "/readyz", "/rpc/identity/account", "/%2e/metrics", "//rpc/x"):
        status, headers, body = await stage.call("GET", path)
        assert (status, body["type"]) == (404, "/problems/no-such-page"), path
        assert headers["Content-Type"] == "application/problem+json"


async def test_a_gateway_knows_who_passed_it_on_and_from_where(stage: Stage) -> None:
    forged = {"X-Matinee-Proxy": "guess", "X-Forwarded-For": "203.0.113.9", "X-Envoy-Max-Retries": "99"}
    await stage.call("GET", "/api/v1/auth/x", forged)
    *_, headers = max(
        (seen for backend, _ in stage.gateways.values() for seen in backend.seen if seen[1] == "/api/v1/auth/x")
    )
    assert headers["x-matinee-proxy"] == SECRET
    # Of a client on loopback Envoy tells the machine's own address; what the client said is never the last word.
    assert headers["x-forwarded-for"].rpartition(",")[2].strip() not in {"", "203.0.113.9"}
    assert "x-envoy-max-retries" not in headers


async def test_tokens_are_asked_for_at_the_door(stage: Stage, tmp_path: Path) -> None:
    now = int(time.time())
    theirs = Signer.open(tmp_path / "theirs.pem")
    good = {"iss": "matinee", "aud": "matinee", "sub": "acc_1", "iat": now, "exp": now + 60}
    refused = {
        "none": {},
        "noise": {"Authorization": "Bearer x.y.z"},
        "forged": {"Authorization": f"Bearer {theirs.sign(good)}"},
        "expired": stage.token(exp=now - 5),
        "of another deployment": stage.token(iss="elsewhere"),
        "for another": stage.token(aud="elsewhere"),
    }
    for name, headers in refused.items():
        for path in ("/api/v1/home", "/api/v1/operator/uploads", "/api/v1/auth/sign-out-everywhere"):
            status, sent, body = await stage.call("GET", path, headers)
            assert (status, body["type"]) == (401, "/problems/unauthenticated"), (name, path)
            assert sent["Content-Type"] == "application/problem+json"
    token = stage.signer.sign(good)
    assert (await stage.call("GET", f"/api/v1/home?access_token={token}"))[0] == 401
    assert not [seen for backend, _ in stage.gateways.values() for seen in backend.seen if seen[1].startswith("/api")]
    assert (await stage.call("GET", "/api/v1/home", stage.token()))[0] == 200
    for path in ("/api/v1/auth/refresh", "/api/v1/playback/pls_1/manifest/t/m.mpd", "/api/v1/licences/hls/t/k"):
        assert (await stage.call("GET", path))[0] == 200
    assert (await stage.call("POST", "/api/v1/playback/pls_1/beacon/t"))[0] == 200
    assert (await stage.call("POST", "/api/v1/playback/pls_1/heartbeat"))[0] == 401


async def test_limits_are_for_each_client(stage: Stage) -> None:
    await stage.proxy.apply(stage.front(requests_per_minute=60, sign_ins_per_minute=3))
    strangers = itertools.count()

    async def hold() -> bool:
        token = stage.token(f"acc_{next(strangers)}")
        return 429 in [(await stage.call("GET", "/api/v1/home", token))[0] for _ in range(40)]

    await eventually(hold)
    statuses = [(await stage.call("POST", "/api/v1/auth/sign-in"))[0] for _ in range(8)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses
    status, headers, body = await stage.call("POST", "/api/v1/auth/sign-in")
    assert (status, body["type"], headers["Retry-After"]) == (429, "/problems/too-many-requests", "1")
    many = [(await stage.call("GET", "/api/v1/home", stage.token("acc_a")))[0] for _ in range(40)]
    assert many[:15] == [200] * 15
    assert 429 in many
    assert (await stage.call("GET", "/api/v1/home", stage.token("acc_b")))[0] == 200
    assert (await stage.call("GET", "/"))[0] == 200


async def test_bodies_have_a_limit_and_uploads_have_none(stage: Stage) -> None:
    large = b"x" * (300 << 10)
    status, _, body = await stage.call("POST", "/api/v1/profiles", stage.token(), large)
    assert (status, body["type"]) == (413, "/problems/too-large")
    status, _, body = await stage.call("PATCH", "/api/v1/operator/uploads/upl_1", stage.token(), large * 8)
    assert (status, body["bytes"]) == (200, len(large) * 8)


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Well by its own word, and gone in the middle of everything else."""
    while line := await reader.readuntil(b"\r\n\r\n"):
        if not line.startswith(b"GET /readyz"):
            writer.transport.abort()
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def test_a_gateway_that_breaks_off_is_passed_over(stage: Stage) -> None:
    breaking = await asyncio.start_server(break_off, "127.0.0.1", 0)
    good = stage.front(gateways="b")
    endpoints = (*good.clusters[0].endpoints, Endpoint("127.0.0.1", breaking.sockets[0].getsockname()[1]))
    await stage.proxy.apply(replace(good, clusters=(replace(good.clusters[0], endpoints=endpoints), good.clusters[1])))

    async def holds() -> bool:
        answers = [await stage.call("GET", "/api/v1/home", stage.token()) for _ in range(20)]
        assert {status for status, *_ in answers} == {200}
        return {body["name"] for *_, body in answers} == {"b"}

    await eventually(holds)
    for _ in range(30):
        status, _, body = await stage.call("GET", "/api/v1/home", stage.token())
        assert (status, body["name"]) == (200, "b")
        await asyncio.sleep(0.05)
    breaking.close()


async def test_a_gateway_that_dies_is_passed_over(stage: Stage) -> None:
    await stage.gateways["b"][1].__aexit__()
    for method in ("GET", "POST"):
        for _ in range(10):
            status, _, body = await stage.call(method, "/api/v1/home", stage.token())
            assert (status, body["name"]) == (200, "a")


async def test_what_is_not_safe_to_repeat_is_not_repeated(stage: Stage) -> None:
    for backend, _ in stage.gateways.values():
        backend.status = 503
    await stage.call("POST", "/api/v1/playback", stage.token())
    seen = [one for backend, _ in stage.gateways.values() for one in backend.seen if one[1] == "/api/v1/playback"]
    assert len(seen) == 1


async def test_a_picture_comes_from_another_edge(stage: Stage) -> None:
    stage.edges["c"][0].status = 500
    for _ in range(10):
        status, _, body = await stage.call("GET", "/art/x.jpg")
        assert (status, body["name"]) == (200, "d")


async def test_nobody_there(stage: Stage) -> None:
    await stage.proxy.apply(stage.front(gateways="", edges=""))
    await stage.answers("/", status=503)
    status, headers, body = await stage.call("GET", "/art/x.jpg")
    assert (status, body["type"], headers["Content-Type"]) == (503, "/problems/unreachable", "application/problem+json")


async def test_changes_under_load_fail_no_request(stage: Stage) -> None:
    failed: list[Any] = []
    done = 0
    stopping = asyncio.Event()

    async def load(number: int) -> None:
        nonlocal done
        while not stopping.is_set():
            path = "/art/x.jpg" if number % 4 == 0 else "/api/v1/home"
            try:
                status, *_ = await stage.call("GET", path, stage.token(f"acc_{number}"))
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
        assert await stage.proxy.apply(stage.front(**{"requests_per_minute": 6000, **change}))
        await asyncio.sleep(0.6)
    stopping.set()
    await asyncio.gather(*clients)
    assert failed == []
    assert done > 100
    names = {name for name, (backend, _) in stage.gateways.items() if backend.seen}
    assert names == {"a", "b", "e"}


async def test_tls_with_a_certificate_that_turns(stage: Stage, tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path / "authority", datetime.now(UTC))
    trust_port = find_free_port()

    def certificate(*hosts: str) -> Certificate:
        leaf = authority.issue("front", hosts, datetime.now(UTC))
        return Certificate(name="front", chain=leaf.chain, private_key=leaf.private_key)

    port = find_free_port()
    said: dict[str, Any] = {"port": port, "trust_port": trust_port}
    await stage.proxy.apply(stage.front(certificate=certificate("127.0.0.1"), **said))
    context = ssl.create_default_context(cadata=authority.certificate_pem)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as trusting:
        stage.http, stage.port, stage.scheme = trusting, port, "https"
        await stage.answers()
        assert (await stage.call("GET", "/"))[0] == 200
        stage.port, stage.scheme = trust_port, "http"
        for path, status in (("/trust", 200), ("/", 200), ("/trust/matinee.crt", 200), ("/api/v1/ping", 404)):
            assert (await stage.call("GET", path))[0] == status
    seen = {seen[1] for backend, _ in stage.gateways.values() for seen in backend.seen}
    assert seen == {"/", "/trust", "/trust/matinee.crt"}
    await stage.proxy.apply(stage.front(certificate=certificate("127.0.0.1", "localhost"), **said))
    stage.scheme, stage.port = "https", port
    end = time.monotonic() + 20
    while "localhost" not in await names_shown(port, context):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def names_shown(port: int, context: Any) -> str:
    """The names in the certificate that a new connection is shown, and that HTTP/2 and TLS 1.2+ are spoken."""
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = str(writer.get_extra_info("peercert"))
    secured = writer.get_extra_info("ssl_object")
    assert secured.selected_alpn_protocol() == "h2"
    assert secured.version() in {"TLSv1.2", "TLSv1.3"}
    writer.close()
    return shown
