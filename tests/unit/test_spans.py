"""The calls that `docs/journeys/press-play.md` names, compared with the spans of the mesh while a film is played.

The services are built as in production, on SQLite files in one process; every call between domains is recorded. The
viewer speaks HTTP to the real gateway.
"""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from matinee.app.domains import DOMAINS, PROTOCOLS, needs
from matinee.app.host import build_targets
from matinee.app.settings import load
from matinee.drivers.asgi import Server
from matinee.drivers.metrics import Metrics
from matinee.edge.adapters.disk import DiskCacheStore
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.metrics import FileEdgeMetrics
from matinee.edge.api import EdgeSettings
from matinee.edge.jobs import send_heartbeats
from matinee.identity.api import DeviceInfo
from matinee.kit import ids
from matinee.kit.context import start_trace
from matinee.kit.ids import EdgeId
from matinee.kit.tracing import Operation, Span, Tracer
from matinee.lab.bench.tracing import TITLE, publish_film
from matinee.mesh.hosting.domain import Process
from matinee.mesh.hosting.runtime import open_runtime
from matinee.mesh.signature import read_signatures
from matinee.playback.domain import PlaybackSection
from matinee.steering.api import Steering

PAGES = Path(__file__).resolve().parents[2] / "docs" / "journeys"
BLOCK = re.compile(r"^```calls\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(\w+) -> (\w+)\.(\w+)")
EDGE = ids.derive(EdgeId, "a")
SIGN_IN: dict[str, Any] = {
    "email": "ada@example.org",
    "password": "correct horse battery",
    "device": {"name": "sofa", "kind": "tv"},
}


def pages() -> dict[str, dict[str, set[str]]]:
    """Return the calls that each page names, by phase."""
    return {page.stem: phases(page.read_text()) for page in sorted(PAGES.glob("*.md"))}


def phases(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in "".join(BLOCK.findall(text)).splitlines():
        if line.startswith("# "):
            calls = found.setdefault(line[2:], set())
        elif line:
            assert CALL.fullmatch(line), f"not a call: {line!r}"
            calls.add(line)
    return found


class Recorder:
    """Records every call between domains."""

    dropped = 0

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.failed: list[Span] = []
        self._recorded = asyncio.Event()

    def record(self, span: Span) -> None:
        attributes = span.operation.attributes
        if "matinee.caller" not in attributes:
            return
        self.calls.add(f"{attributes['matinee.caller']} -> {attributes['rpc.service']}.{attributes['rpc.method']}")
        if span.outcome not in ("ok", "cancelled"):
            self.failed.append(span)
        self._recorded.set()

    async def wait_for(self, calls: set[str]) -> None:
        """Wait until each of these calls was made."""
        async with asyncio.timeout(60):
            while not calls <= self.calls:
                self._recorded.clear()
                await self._recorded.wait()

    def take(self) -> set[str]:
        """Return the calls since the last `take`."""
        calls, self.calls = self.calls, set()
        return calls


class Deployment:
    """A gateway on a socket with the domains behind it, and a viewer who calls it."""

    def __init__(
        self, process: Process, recorder: Recorder, url: str, http: aiohttp.ClientSession, tracer: Tracer
    ) -> None:
        self.process, self.recorder, self.url, self.http, self.tracer = process, recorder, url, http, tracer
        self.headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Make one request that must succeed."""
        path = path if path.startswith("/api/") else f"/api/v1{path}"
        async with self.http.request(
            method, self.url + path, json=body, headers={**self.headers, **headers}
        ) as response:
            assert response.ok, f"{method} {path}: {response.status} {await response.text()}"
            return await (response.json() if response.content_type == "application/json" else response.read())

    def use_session(self, session: dict[str, Any]) -> None:
        self.headers = {"Authorization": f"Bearer {session['access_token']}"}


@asynccontextmanager
async def run_deployment(folder: Path) -> AsyncIterator[Deployment]:
    overrides = {"deployment.data": str(folder), "mesh.force_wire": True}
    overrides |= {"telemetry.sampling": 1.0}
    recorder, targets = Recorder(), tuple({*PROTOCOLS, "gateway"} - {"encoding"})
    settings = load(None, environment={}, overrides=overrides)
    # A player without a heartbeat is idle at once, which the settings do not permit.
    playback = msgspec.structs.replace(settings.of(PlaybackSection), idle_s=0)
    settings = msgspec.structs.replace(settings, domains={**settings.domains, "playback": playback})
    async with open_runtime(settings, sink=recorder) as runtime, AsyncExitStack() as stack:
        process = Process(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        with start_trace(runtime.tracer, Operation("a gateway starts")):  # its background calls are in this trace
            app = await build_targets(process, targets)
        assert app is not None
        server = await stack.enter_async_context(Server(app))
        through_proxy = {"X-Matinee-Proxy": runtime.secret("envoy-proxy.key").hex()}
        http = await stack.enter_async_context(aiohttp.ClientSession(headers=through_proxy))
        yield Deployment(process, recorder, server.address, http, runtime.tracer)


async def send_edge_heartbeat(deployment: Deployment, folder: Path) -> None:
    settings = EdgeSettings(edge_id=EDGE, cache_dir=folder, upstream="file:///nowhere", token_keys=(b"k" * 32,))
    DiskCacheStore(folder, limit_bytes=1 << 20)
    evictor, metrics = DiskEvictor(folder, 1 << 20), FileEdgeMetrics(folder)
    steering = deployment.process.client(Steering, caller="edge")
    with start_trace(deployment.tracer, Operation("an edge lives")):
        sending = asyncio.create_task(
            send_heartbeats(settings=settings, port=9, evictor=evictor, metrics=metrics, steering=steering)
        )
    await deployment.recorder.wait_for({"edge -> steering.heartbeat"})
    await cancel([sending])
    evictor.close()
    metrics.close()


async def cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_press_play_makes_the_calls_that_its_page_names(tmp_path: Path) -> None:
    expected, actual = pages()["press-play"], {}
    async with run_deployment(tmp_path) as at:
        recorder, services = at.recorder, at.process.services
        actual["a gateway starts"] = recorder.take()
        key_id = await publish_film(services)
        sofa = DeviceInfo(**SIGN_IN["device"])
        await services["identity"].sign_up(**{**SIGN_IN, "name": "Ada", "language": "en", "device": sofa})

        await send_edge_heartbeat(at, tmp_path / "cache")
        actual["an edge lives"] = recorder.take()

        at.use_session(await at.call("POST", "/auth/sign-in", SIGN_IN))
        (profile,) = await at.call("GET", "/profiles")
        at.use_session(await at.call("POST", f"/profiles/{profile['profile_id']}/choose", {}))
        actual["sign in"] = recorder.take()

        await at.call("GET", f"/titles/{TITLE}")
        actual["title page"] = recorder.take()

        asked = {"title_id": TITLE, "capabilities": {}}
        session = await at.call("POST", "/playback", asked)
        actual["press play"] = recorder.take()

        await at.call("GET", session["dash_path"])
        actual["manifest"] = recorder.take()

        kid = urlsafe_b64encode(bytes.fromhex(key_id)).decode().rstrip("=")
        licence = {"kids": [kid], "type": "temporary"}
        keys = await at.call("POST", session["licence_path"], licence, **{"X-Licence-Token": session["licence_token"]})
        assert [key["kid"] for key in keys["keys"]] == [kid]
        actual["licence"] = recorder.take()

        assert len(await at.call("GET", f"/licences/hls/{session['licence_token']}/{key_id}")) == 16
        actual["licence on HLS"] = recorder.take()

        await at.call("POST", session["clearkey_path"], {"kids": [kid]})
        actual["licence of another player"] = recorder.take()

        place = f"/playback/{session['session_id']}"
        await at.call("POST", f"{place}/heartbeat", _heartbeat(30_000))
        actual["heartbeat"] = recorder.take()

        await at.call("POST", f"{place}/renew", {"failed": [EDGE]})
        actual["an edge fails"] = recorder.take()

        await at.call("POST", session["beacon_path"], _heartbeat(40_000))
        actual["page closes"] = recorder.take()

        await at.call("POST", f"{place}/end", _heartbeat(41_000))
        actual["end"] = recorder.take()

        while (home := await at.call("GET", "/home"))["missing"]:  # rows that were late on a busy machine
            recorder.take()
        assert home["rows"][0]["row_id"] == "continue-watching"
        actual["home"] = recorder.take()

        await at.call("POST", "/playback", asked)  # a player that stops sending heartbeats
        recorder.take()
        works = [work for _, work in at.process.schedules.values()]
        with start_trace(at.tracer, Operation("meanwhile")):
            jobs = [asyncio.ensure_future(work()) for work in (*at.process.jobs.values(), *works)]
        await recorder.wait_for(expected["meanwhile"])
        # Followers commit as soon as the relays have appended something, and search reads the titles that changed:
        # that may be later.
        later = {f"{name} -> events.commit" for name in ("playback", "viewing", "search")}
        actual["meanwhile"] = recorder.take() - later - {"search -> catalogue.titles"}
        await cancel(jobs)
    assert recorder.failed == []
    assert actual == expected


def _heartbeat(position_ms: int) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"position_ms": position_ms, "state": "playing", "at": at, "playing_ms": 10_000, "edge_id": EDGE}


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_names_calls_that_the_protocols_have(name: str) -> None:
    calls = [CALL.fullmatch(call) for calls in pages()[name].values() for call in calls]
    for caller, callee, method in (call.groups() for call in calls if call):
        assert method in read_signatures(PROTOCOLS[callee]), f"{callee} has no {method}"
        assert caller == "cli" or callee in needs(caller), f"{caller} is not given {callee}"
