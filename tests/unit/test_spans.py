"""`docs/journeys/press-play.md` held against the calls that the mesh records while play is pressed.

The services are put together as in production, on SQLite files in one process, but that every call between domains
is recorded; the viewer speaks HTTP to the real gateway.
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
import pytest

from matinee.app import settings as known_settings
from matinee.app.targets import PROTOCOLS, needs
from matinee.app.wiring.domains import BUILDERS, Parts
from matinee.app.wiring.doors import gateway
from matinee.app.wiring.fabric import fabric
from matinee.catalogue.api import Asset, Genre, SegmentRun, TitleDraft, VideoTrack
from matinee.drivers.asgi import Server
from matinee.drivers.metrics import Metrics
from matinee.edge.adapters.disk import DiskCacheStore
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.metrics import FileEdgeMetrics
from matinee.edge.api import EdgeSettings
from matinee.edge.jobs import send_heartbeats
from matinee.identity.api import DeviceInfo
from matinee.kit import ids
from matinee.kit.ids import AssetId, EdgeId, TitleId
from matinee.mesh.api import Span
from matinee.mesh.client import bind_local
from matinee.mesh.signature import read_signatures

PAGES = Path(__file__).resolve().parents[2] / "docs" / "journeys"
BLOCK = re.compile(r"^```calls\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(\w+) -> (\w+)\.(\w+)")
TITLE, ASSET, EDGE = ids.derive(TitleId, "film"), ids.derive(AssetId, "film"), ids.derive(EdgeId, "a")
SIGN_IN: dict[str, Any] = {
    "email": "ada@example.org",
    "password": "correct horse battery",
    "device": {"name": "sofa", "kind": "tv"},
}


def pages() -> dict[str, dict[str, set[str]]]:
    """The calls that each page names, by phase."""
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
    """Notes every call."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.failed: list[Span] = []
        self._heard = asyncio.Event()

    def record(self, span: Span) -> None:
        self.calls.add(f"{span.caller} -> {span.callee}.{span.method}")
        if span.outcome not in ("ok", "cancelled"):
            self.failed.append(span)
        self._heard.set()

    async def heard(self, calls: set[str]) -> None:
        """Wait until each of these was made."""
        async with asyncio.timeout(60):
            while not calls <= self.calls:
                self._heard.clear()
                await self._heard.wait()

    def taken(self) -> set[str]:
        """What was called since this was last asked."""
        calls, self.calls = self.calls, set()
        return calls


class RecordedParts(Parts):
    """Wiring's parts, with a recorder between all domains."""

    def __init__(self, recorder: Recorder, **words: Any) -> None:
        super().__init__(**words)
        self.recorder = recorder

    def domain(self, name: str, *, by: str) -> Any:
        if name not in self.built:
            return super().domain(name, by=by)
        return bind_local(PROTOCOLS[name], name, self.built[name], caller=by, recorder=self.recorder, force_wire=True)


class Deployment:
    """A gateway on a socket, the domains behind it, and a viewer before it."""

    def __init__(self, parts: RecordedParts, url: str, http: aiohttp.ClientSession) -> None:
        self.parts, self.url, self.http = parts, url, http
        self.headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request; asserts that it went well."""
        sent = {**self.headers, **headers}
        path = path if path.startswith("/api/") else f"/api/v1{path}"
        async with self.http.request(method, self.url + path, json=body, headers=sent) as answer:
            assert answer.ok, f"{method} {path}: {answer.status} {await answer.text()}"
            return await answer.json() if answer.content_type == "application/json" else await answer.read()

    def signed_in(self, session: dict[str, Any]) -> None:
        self.headers = {"Authorization": f"Bearer {session['access_token']}"}


@asynccontextmanager
async def deployment(folder: Path, recorder: Recorder) -> AsyncIterator[Deployment]:
    overrides = {"deployment.data": str(folder), "playback.idle_s": 0}
    settings = known_settings.load(None, environment={}, overrides=overrides)
    async with fabric(settings) as threads, AsyncExitStack() as stack:
        parts = RecordedParts(recorder, fabric=threads, stack=stack, metrics=Metrics())
        for name in PROTOCOLS:
            if name != "encoding":  # no part of these journeys
                await BUILDERS[name](parts)
        server = await stack.enter_async_context(Server(await gateway(parts)))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Deployment(parts, server.address, http)


async def film(parts: Parts) -> str:
    """A published film of 100 s, and the id of its key."""
    (key,) = await parts.built["licensing"].content_keys(asset_id=ASSET, labels=("SD",))
    catalogue, drama = parts.built["catalogue"], Genre(genre_id="drama", names={"en": "Drama"})
    draft = TitleDraft(title_id=TITLE, kind="film", names={"en": "A film"}, original_language="en", genres=[drama])
    await catalogue.put_title(draft=draft)
    video = VideoTrack(
        track_id="v360",
        codec="avc1.4d401e",
        bandwidth_bps=500_000,
        timescale=1000,
        init="i.mp4",
        media="$Number$.m4s",
        segments=[SegmentRun(0, 4000, 25)],
        key_id=key.key_id,
        width_px=640,
        height_px=360,
        frame_rate="24/1",
    )
    prefix = f"assets/{ASSET}/"
    await catalogue.attach_asset(
        asset=Asset(
            asset_id=ASSET, title_id=TITLE, prefix=prefix, duration_ms=100_000, scheme="cbcs", video=[video], audio=[]
        )
    )
    await catalogue.publish(title_id=TITLE)
    return str(key.key_id)


async def edge(parts: RecordedParts, folder: Path) -> None:
    """An edge that tells steering of itself, once."""
    settings = EdgeSettings(edge_id=EDGE, cache_dir=folder, upstream="file:///nowhere", token_keys=(b"k" * 32,))
    DiskCacheStore(folder, limit_bytes=1 << 20)
    keeping, board = DiskEvictor(folder, 1 << 20), FileEdgeMetrics(folder)
    steering = parts.domain("steering", by="edge")
    beating = asyncio.create_task(
        send_heartbeats(settings=settings, port=9, evictor=keeping, metrics=board, steering=steering)
    )
    await parts.recorder.heard({"edge -> steering.heartbeat"})
    await ended([beating])
    keeping.close()
    board.close()


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_pressing_play_makes_the_calls_that_its_page_names(tmp_path: Path) -> None:
    said, recorder, seen = pages()["press-play"], Recorder(), {}
    async with deployment(tmp_path, recorder) as at:
        key_id = await film(at.parts)
        sofa = DeviceInfo(**SIGN_IN["device"])
        await at.parts.built["identity"].sign_up(**{**SIGN_IN, "name": "Ada", "language": "en", "device": sofa})

        await edge(at.parts, tmp_path / "cache")
        seen["an edge lives"] = recorder.taken()

        at.signed_in(await at.call("POST", "/auth/sign-in", SIGN_IN))
        (profile,) = await at.call("GET", "/profiles")
        at.signed_in(await at.call("POST", f"/profiles/{profile['profile_id']}/choose", {}))
        seen["sign in"] = recorder.taken()

        await at.call("GET", f"/titles/{TITLE}")
        seen["title page"] = recorder.taken()

        asked = {"title_id": TITLE, "capabilities": {}}
        session = await at.call("POST", "/playback", asked)
        seen["press play"] = recorder.taken()

        await at.call("GET", session["dash_path"])
        seen["manifest"] = recorder.taken()

        kid = urlsafe_b64encode(bytes.fromhex(key_id)).decode().rstrip("=")
        licence = {"kids": [kid], "type": "temporary"}
        keys = await at.call("POST", session["licence_path"], licence, **{"X-Licence-Token": session["licence_token"]})
        assert [key["kid"] for key in keys["keys"]] == [kid]
        seen["licence"] = recorder.taken()

        assert len(await at.call("GET", f"/licences/hls/{session['licence_token']}/{key_id}")) == 16
        seen["licence on HLS"] = recorder.taken()

        place = f"/playback/{session['session_id']}"
        await at.call("POST", f"{place}/heartbeat", _heartbeat(30_000))
        seen["heartbeat"] = recorder.taken()

        await at.call("POST", f"{place}/renew", {"failed": [EDGE]})
        seen["an edge fails"] = recorder.taken()

        await at.call("POST", session["beacon_path"], _heartbeat(40_000))
        seen["page closes"] = recorder.taken()

        await at.call("POST", f"{place}/end", _heartbeat(41_000))
        seen["end"] = recorder.taken()

        while (home := await at.call("GET", "/home"))["missing"]:  # what a machine that stands still makes late
            recorder.taken()
        assert home["rows"][0]["row_id"] == "continue-watching"
        seen["home"] = recorder.taken()

        await at.call("POST", "/playback", asked)  # a player that falls silent
        recorder.taken()
        jobs = [asyncio.create_task(job) for job in at.parts.jobs]
        await recorder.heard(said["meanwhile"])
        seen["meanwhile"] = recorder.taken()
        await ended(jobs)
    assert recorder.failed == []
    assert seen == said


def _heartbeat(position_ms: int) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"position_ms": position_ms, "state": "playing", "at": at, "playing_ms": 10_000, "edge_id": EDGE}


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_page_names_calls_that_can_be_made(name: str) -> None:
    calls = [CALL.fullmatch(call) for calls in pages()[name].values() for call in calls]
    for caller, callee, method in (call.groups() for call in calls if call):
        assert method in read_signatures(PROTOCOLS[callee]), f"{callee} has no {method}"
        assert caller == "cli" or callee in needs(caller), f"{caller} is not given {callee}"
