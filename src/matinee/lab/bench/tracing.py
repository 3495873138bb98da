"""What tracing costs: CPU time of press play at the gateway, with every domain in its process."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from matinee.app.domains import DOMAINS, PROTOCOLS
from matinee.app.host import build_targets
from matinee.app.settings import load
from matinee.catalogue.api import Asset, Genre, SegmentRun, TitleDraft, VideoTrack
from matinee.drivers.asgi import App
from matinee.drivers.metrics import Metrics
from matinee.kit import ids, log
from matinee.kit.ids import AssetId, EdgeId, TitleId
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench
from matinee.mesh.hosting.domain import Process
from matinee.mesh.hosting.runtime import open_runtime
from matinee.steering.api import EdgeReport

AREA = "tracing"
GOAL = 1.03
TITLE, ASSET = ids.derive(TitleId, "film"), ids.derive(AssetId, "film")
SHARES = (0.0, 0.01, 1.0)
EDGE = EdgeReport(edge_id=ids.derive(EdgeId, "a"), name="a", base_url="http://127.0.0.1:9")
DEVICE = {"name": "bench", "kind": "other"}


def measure(bench: Bench) -> list[Figure]:
    """Measure the same requests without tracing, at the default share and with every request traced."""
    log.configure(level="ERROR")
    off_us, default_us, all_us = asyncio.run(_measure(bench.size(60, 2), bench.size(5, 2)))
    name = "tracing off"
    return [
        make_figure(AREA, "press play, 1 % sampled", default_us, "µs", baseline=off_us, baseline_name=name, goal=GOAL),
        make_figure(AREA, "press play, all sampled", all_us, "µs", baseline=off_us, baseline_name=name),
    ]


async def _measure(rounds: int, count: int) -> list[float]:
    """Return the median CPU time of a request for each share, over rounds in turns."""
    spent_us: list[list[float]] = [[] for _ in SHARES]
    turns = deque(zip(spent_us, SHARES, strict=True))
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder:
        async with _open_gateway(Path(folder)) as (press_play, prepare):
            for _ in range(rounds + 1):
                for times_us, share in turns:
                    await prepare(share)
                    started_s = time.process_time()
                    for _ in range(count):
                        await press_play()
                    times_us.append((time.process_time() - started_s) / count * 1e6)
                turns.rotate()  # so that deferred work (garbage collection) affects all of them
    return [statistics.median(times_us[1:]) for times_us in spent_us]


@asynccontextmanager
async def _open_gateway(
    folder: Path,
) -> AsyncIterator[tuple[Callable[[], Awaitable[None]], Callable[[float], Awaitable[None]]]]:
    """Yield a function that presses play, and one that prepares for a share of sampled requests."""
    settings = load(None, environment={}, overrides={"deployment.data": str(folder), "telemetry.sampling": 1.0})
    async with open_runtime(settings) as runtime, AsyncExitStack() as stack:
        process = Process(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        app = await build_targets(process, tuple({*PROTOCOLS, "gateway"} - {"encoding"}))
        assert app is not None
        await publish_film(process.services)
        account = {"email": "b@matinee.example", "password": "correct horse battery", "name": "B", "device": DEVICE}
        session = await _call(app, "POST", "/auth/sign-up", account)
        (profile,) = await _call(app, "GET", "/profiles", None, session["access_token"])
        session = await _call(app, "POST", f"/profiles/{profile['profile_id']}/choose", {}, session["access_token"])
        asked = {"title_id": TITLE, "capabilities": {}}
        heartbeat = {"position_ms": 0, "state": "ended", "at": runtime.clock.now(), "playing_ms": 0}

        async def press_play() -> None:
            play = await _call(app, "POST", "/playback", asked, session["access_token"])
            await _call(app, "POST", f"/playback/{play['session_id']}/end", heartbeat, session["access_token"])

        async def prepare(share: float) -> None:
            """Set the share, and renew the edge, which a title needs to be playable."""
            runtime.tracer.sampling = share
            await process.services["steering"].heartbeat(report=EDGE)

        yield press_play, prepare


async def _call(app: App, method: str, path: str, body: Any = None, token: str = "") -> Any:
    """Make a request without a socket."""
    sent: list[Any] = []
    received = [{"type": "http.request", "body": b"" if body is None else msgspec.json.encode(body)}]

    async def receive() -> Any:
        return received.pop() if received else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": f"/api/v1{path}",
        "raw_path": f"/api/v1{path}".encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent)
    assert sent[0]["status"] < 300, content
    return msgspec.json.decode(content) if content else None


async def publish_film(services: dict[str, Any]) -> str:
    """Publish a film of 100 s, whose files do not exist, and return the id of its key."""
    (key,) = await services["licensing"].ensure_content_keys(asset_id=ASSET, labels=("SD",))
    catalogue, drama = services["catalogue"], Genre(genre_id="drama", names={"en": "Drama"})
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
    asset = Asset(
        asset_id=ASSET, title_id=TITLE, prefix=prefix, duration_ms=100_000, scheme="cbcs", video=[video], audio=[]
    )
    await catalogue.attach_asset(asset=asset)
    await catalogue.publish(title_id=TITLE)
    return str(key.key_id)
