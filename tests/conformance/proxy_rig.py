"""A proxy with gateways and edges behind it that record their requests."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec.structs import replace
from tests.deployment import find_free_port

from matinee.drivers import envoy
from matinee.drivers.asgi import Receive, Scope, Send, Server
from matinee.drivers.jwt import Signer
from matinee.gateway.adapters.envoy import EnvoyProxy
from matinee.gateway.model.proxy import Endpoint, ProxyConfig, ProxySettings, build_proxy_config
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
            gateways=[make_endpoint(self.gateways[name][1]) for name in gateways],
            edges=[make_endpoint(self.edges[name][1]) for name in edges],
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


def make_endpoint(server: Server) -> Endpoint:
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


@asynccontextmanager
async def open_rig(folder: Path) -> AsyncIterator[ProxyRig]:
    """Run a proxy in front of two gateways and two edges."""
    async with AsyncExitStack() as stack:

        async def backend(name: str) -> tuple[Backend, Server]:
            app = Backend(name)
            return app, await stack.enter_async_context(Server(app, graceful_s=1))

        envoy_folder = folder / "envoy"
        proxy_rig = ProxyRig(
            proxy=EnvoyProxy(envoy_folder),
            reopen=lambda: EnvoyProxy(envoy_folder),
            port=find_free_port(),
            http=await stack.enter_async_context(aiohttp.ClientSession()),
            signer=Signer.open(folder / "keys.pem"),
            gateways={name: await backend(name) for name in "abe"},
            edges={name: await backend(name) for name in "cd"},
            settings=ProxySettings(port=1, secret=SECRET),
        )
        proxy_rig.settings = replace(proxy_rig.settings, port=proxy_rig.port)
        await proxy_rig.proxy.apply(proxy_rig.config())
        await stack.enter_async_context(run_envoy(envoy_folder))
        await proxy_rig.wait_for_status()
        await proxy_rig.wait_for_status("/art/x.jpg")
        yield proxy_rig
