"""What tracing costs: CPU time of press play in a gateway that has every domain in its process."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import aiohttp

from matinee.app.domains import DOMAINS, PROTOCOLS
from matinee.app.host import build_targets
from matinee.app.settings import load
from matinee.catalogue.api import Asset, Genre, SegmentRun, TitleDraft, VideoTrack
from matinee.drivers.asgi import Server
from matinee.drivers.metrics import Metrics
from matinee.kit import ids, log
from matinee.kit.ids import AssetId, EdgeId, TitleId
from matinee.lab.bench.harness import Bench, Variant, measure_in_turns, time_calls
from matinee.lab.viewer import Viewer
from matinee.mesh.hosting.domain import Process
from matinee.mesh.hosting.runtime import open_runtime
from matinee.steering.api import EdgeReport

TITLE, ASSET = ids.derive(TitleId, "film"), ids.derive(AssetId, "film")
# The share of sampled requests, the goal of the ratio, and the seconds to measure for.
VARIANTS = {"1 % sampled": (0.01, 1.03, 45), "all sampled": (1.0, None, 8)}
EDGE_ROUNDS = 10  # an edge whose heartbeats end serves no title
EDGE = EdgeReport(edge_id=ids.derive(EdgeId, "a"), name="a", base_url="http://127.0.0.1:9")


async def measure(bench: Bench) -> None:
    """Measure press play without tracing, at the default share and with every request traced.

    The effect is small beside the noise of a machine with other work: many rounds compare single requests that follow
    one another.
    """
    log.configure(level="ERROR")
    settings = load(None, {}, {"deployment.data": str(bench.folder), "telemetry.sampling": 1.0})
    runtime = await bench.stack.enter_async_context(open_runtime(settings))
    process = Process(runtime, domains=DOMAINS, stack=bench.stack, metrics=Metrics())
    app = await build_targets(process, tuple({*PROTOCOLS, "gateway"} - {"encoding"}))
    assert app is not None
    server = await bench.stack.enter_async_context(Server(app))
    through_proxy = {"X-Matinee-Proxy": runtime.secret("envoy-proxy.key").hex()}
    http = await bench.stack.enter_async_context(aiohttp.ClientSession(headers=through_proxy))
    viewer = Viewer(http, server.address)
    await publish_film(process.services)
    await viewer.sign_up("bench@matinee.example")

    def press_play_at(share: float) -> Variant:
        async def run_turn(number: int) -> float:
            if number % EDGE_ROUNDS == 0:
                await process.services["steering"].heartbeat(report=EDGE)
            runtime.tracer.sampling = share
            return await time_calls(lambda _: _press_play(viewer), clock=time.process_time)

        return run_turn

    for name, (share, goal, limit_s) in VARIANTS.items():
        variants = {"tracing off": press_play_at(0.0), name: press_play_at(share)}
        off, samples = await measure_in_turns(variants, rounds=bench.size(3000, 1), limit_s=limit_s)
        bench.report(f"press play, {name}", samples, "µs", baseline=off, max_ratio=goal)


async def _press_play(viewer: Viewer) -> None:
    play = await viewer.call("POST", "/playback", {"title_id": TITLE, "capabilities": {}})
    heartbeat = {"position_ms": 0, "state": "ended", "at": datetime.now(UTC).isoformat(), "playing_ms": 0}
    await viewer.call("POST", f"/playback/{play['session_id']}/end", heartbeat)


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
