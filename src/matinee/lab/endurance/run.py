"""A run: a house, viewers, and what kills it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from random import Random

import aiohttp
import msgspec

from matinee.app.settings import load
from matinee.app.wiring import clients
from matinee.kit.ids import AccountId, ProfileId, TitleId
from matinee.lab.endurance.monkey import kill_at_random
from matinee.lab.endurance.report import Report
from matinee.lab.endurance.viewer import Acknowledged, Viewer
from matinee.lab.trial import House, film

KEPT = Path("build/endure.json")
START_S = 300.0
GROUPS = ("gateway", "playback", "catalogue", "encoding", "edge")
SETTLE_S = 3.0


def endure(*, seconds: float, viewers: int, every_s: float, seed: int) -> Report:
    """Start a distributed house in a folder of its own, let it endure, stop it; the report is kept in `build`."""
    with tempfile.TemporaryDirectory(prefix="matinee-endure-") as place:
        house = House(Path(place) / "data", settings={"MATINEE__GATEWAY__REQUESTS_PER_MINUTE": "1000000"})
        house.start("--profile", "distributed", limit_s=START_S)
        try:
            made = film(Path(place) / "film.mp4", seconds=420, size="320x180", rate="6")
            title_id = house.ingest(made, "Endurance")["title_id"]
            report = asyncio.run(
                endure_on(house, title_id, seconds=seconds, viewers=viewers, every_s=every_s, seed=seed)
            )
        finally:
            house.stop()
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    return report


async def endure_on(house: House, title_id: str, *, seconds: float, viewers: int, every_s: float, seed: int) -> Report:
    """Load a house that runs, kill its processes, and see at the end that all it acknowledged is there."""
    dice, report = Random(seed), Report(viewers=viewers)  # noqa: S311  # chooses whom to kill, guards nothing
    connector = aiohttp.TCPConnector(limit=viewers * 2)
    async with aiohttp.ClientSession(connector=connector) as http:
        crowd = [Viewer(http, house.url, report, Random(seed + n), n) for n in range(viewers)]  # noqa: S311  # as above
        for viewer in crowd:
            await viewer.arrive()
        report.began = time.monotonic()
        until_s = report.began + seconds
        await asyncio.gather(
            kill_at_random(house, report, dice, groups=GROUPS, every_s=every_s, until_s=until_s),
            *(viewer.watch(title_id, until_s) for viewer in crowd),
        )
        report.seconds = report.at_s()
    await asyncio.sleep(SETTLE_S)
    await _check(house, title_id, [viewer.seen for viewer in crowd], report)
    return report


async def _check(house: House, title_id: str, seen: list[Acknowledged], report: Report) -> None:
    """Every profile stands where its last acknowledged heartbeat left it, or at a later one that nobody answered."""
    async with clients(load(None, {}, {"house.data": str(house.data)})) as domains:
        for one in seen:
            position = await domains.viewing.position(
                account_id=AccountId(one.account_id),
                profile_id=ProfileId(one.profile_id),
                title_id=TitleId(title_id),
            )
            stands_ms = position.position_ms if position else 0
            if not one.position_ms <= stands_ms <= one.sent_ms:
                report.lost.append(f"{one.profile_id} stands at {stands_ms}, acknowledged {one.position_ms} ms")
