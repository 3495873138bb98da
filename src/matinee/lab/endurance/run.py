"""A run: a deployment, viewers, and what kills it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from random import Random

import aiohttp
import msgspec

from matinee.app.clients import open_clients
from matinee.app.settings import load
from matinee.kit.ids import AccountId, ProfileId, TitleId
from matinee.lab.deployment import Deployment, make_film
from matinee.lab.endurance.monkey import kill_at_random
from matinee.lab.endurance.report import Report
from matinee.lab.endurance.viewer import Acknowledged, Viewer
from matinee.viewing.api import Viewing

KEPT = Path("build/endure.json")
START_S = 300.0
GROUPS = ("gateway", "playback", "catalogue", "encoding", "edge")
SETTLE_S = 3.0


def endure(*, seconds: float, viewers: int, every_s: float, seed: int) -> Report:
    """Start a distributed deployment in a folder of its own, let it endure, stop it; the report is kept in `build`."""
    with tempfile.TemporaryDirectory(prefix="matinee-endure-") as place:
        deployment = Deployment(Path(place) / "data", settings={"MATINEE__GATEWAY__REQUESTS_PER_MINUTE": "1000000"})
        deployment.start("--profile", "distributed", limit_s=START_S)
        try:
            made = make_film(Path(place) / "film.mp4", seconds=420, size="320x180", rate="6")
            title_id = deployment.ingest(made, "Endurance")["title_id"]
            report = asyncio.run(
                endure_on(deployment, title_id, seconds=seconds, viewers=viewers, every_s=every_s, seed=seed)
            )
        finally:
            deployment.stop()
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    return report


async def endure_on(
    deployment: Deployment, title_id: str, *, seconds: float, viewers: int, every_s: float, seed: int
) -> Report:
    """Load a deployment that runs, kill its processes, and see at the end that all it acknowledged is there."""
    rng, report = Random(seed), Report(viewers=viewers)  # noqa: S311  # chooses whom to kill, guards nothing
    connector = aiohttp.TCPConnector(limit=viewers * 2)
    async with aiohttp.ClientSession(connector=connector) as http:
        crowd = [Viewer(http, deployment.url, report, Random(seed + n), n) for n in range(viewers)]  # noqa: S311  # as above
        for viewer in crowd:
            await viewer.arrive()
        report.began = time.monotonic()
        until_s = report.began + seconds
        await asyncio.gather(
            kill_at_random(deployment, report, rng, groups=GROUPS, every_s=every_s, until_s=until_s),
            *(viewer.watch(title_id, until_s) for viewer in crowd),
        )
        report.seconds = report.at_s()
    await asyncio.sleep(SETTLE_S)
    await _check(deployment, title_id, [viewer.seen for viewer in crowd], report)
    return report


async def _check(deployment: Deployment, title_id: str, seen: list[Acknowledged], report: Report) -> None:
    """Every profile stands where its last acknowledged heartbeat left it, or at a later one that nobody answered."""
    async with open_clients(load(None, {}, {"deployment.data": str(deployment.data)})) as domains:
        for one in seen:
            position = await domains.get(Viewing).get_position(
                account_id=AccountId(one.account_id),
                profile_id=ProfileId(one.profile_id),
                title_id=TitleId(title_id),
            )
            stands_ms = position.position_ms if position else 0
            if not one.position_ms <= stands_ms <= one.sent_ms:
                report.lost.append(f"{one.profile_id} stands at {stands_ms}, acknowledged {one.position_ms} ms")
