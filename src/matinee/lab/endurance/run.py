"""A run: a deployment, viewers, and random kills of its processes."""

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
from matinee.lab.deployment import Deployment, deploy_film
from matinee.lab.endurance.monkey import kill_at_random
from matinee.lab.endurance.report import Report
from matinee.lab.endurance.viewer import RetryingViewer
from matinee.viewing.api import Viewing

FILE = Path("build/endurance.json")
START_S = 300.0
GROUPS = ("gateway", "playback", "catalogue", "encoding", "edge")
SETTLE_S = 3.0


def measure_endurance(*, seconds: float, viewers: int, every_s: float, seed: int) -> Report:
    """Run on a new distributed deployment, and write the report to `build/endurance.json`."""
    with (
        tempfile.TemporaryDirectory(prefix="matinee-endurance-") as folder,
        deploy_film(
            Path(folder), "--profile", "distributed", limit_s=START_S, seconds=420, size="320x180", rate="6"
        ) as (deployment, title_id),
    ):
        report = asyncio.run(run_on(deployment, title_id, seconds=seconds, viewers=viewers, every_s=every_s, seed=seed))
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    return report


async def run_on(
    deployment: Deployment, title_id: str, *, seconds: float, viewers: int, every_s: float, seed: int
) -> Report:
    """Load a running deployment, kill its processes, and check at the end that it has all acknowledged writes."""
    rng, report = Random(seed), Report(viewers=viewers)  # noqa: S311  # not a secret
    connector = aiohttp.TCPConnector(limit=viewers * 2)
    async with aiohttp.ClientSession(connector=connector) as http:
        audience = [RetryingViewer(http, deployment.url, report, Random(seed + n)) for n in range(viewers)]  # noqa: S311  # not a secret
        for number, viewer in enumerate(audience):
            await viewer.sign_up(f"viewer-{number}@matinee.example")
        report.started_s = time.monotonic()
        until_s = report.started_s + seconds
        await asyncio.gather(
            kill_at_random(deployment, report, rng, groups=GROUPS, every_s=every_s, until_s=until_s),
            *(viewer.watch(title_id, until_s) for viewer in audience),
        )
        report.seconds = report.elapsed_s()
    await asyncio.sleep(SETTLE_S)
    await _check(deployment, title_id, audience, report)
    return report


async def _check(deployment: Deployment, title_id: str, audience: list[RetryingViewer], report: Report) -> None:
    """Check that the position of each profile is that of its last acknowledged heartbeat, or of a later one."""
    async with open_clients(load(None, {}, {"deployment.data": str(deployment.data)})) as domains:
        for viewer in audience:
            position = await domains.get(Viewing).get_position(
                account_id=AccountId(viewer.account_id),
                profile_id=ProfileId(viewer.profile_id),
                title_id=TitleId(title_id),
            )
            actual_ms = position.position_ms if position else 0
            if not viewer.position_ms <= actual_ms <= viewer.sent_ms:
                report.lost.append(f"{viewer.profile_id} is at {actual_ms}, acknowledged {viewer.position_ms} ms")
