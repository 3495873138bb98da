"""Players on the embedded deployment at their usual pace: CPU time, disk writes, memory, waiting times, lost writes."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urljoin

import aiohttp

from matinee.app.clients import open_clients
from matinee.app.settings import load
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, ProfileId, TitleId
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench, cpu_clock
from matinee.lab.deployment import Deployment, DeploymentFailed, deploy_film
from matinee.lab.viewer import Viewer
from matinee.viewing.api import Viewing

HEARTBEAT_S, SEGMENT_S = 30.0, 4.0
# In heartbeats: an access token is valid for ten minutes.
REFRESH_EVERY = 8
WRITTEN_GOAL_KB = 12.0
# Facts reach the log within five seconds after their heartbeats.
RELAYED_S = 10.0
_WRITTEN = re.compile(r"^write_bytes: (\d+)$", re.MULTILINE)
_MEMORY = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)


async def measure(bench: Bench) -> None:
    """Measure; takes about twelve minutes."""
    players, seconds = bench.size(200, 4), bench.size(600, 3)
    interval_s, segment_s = (HEARTBEAT_S, SEGMENT_S) if not bench.smallest else (0.5, 0.5)
    deployment, title_id = bench.stack.enter_context(
        deploy_film(bench.folder, seconds=bench.size(660, 20), size="160x90", rate="6")
    )
    connector = aiohttp.TCPConnector(limit=0)
    http = await bench.stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    audience = [Player(http, deployment.url) for _ in range(players)]
    for number, player in enumerate(audience):
        await player.sign_up(f"player-{number}@matinee.example")
    use = Use(deployment)
    rng = Random(1)  # noqa: S311  # not a secret
    until_s = time.monotonic() + seconds
    await asyncio.gather(
        *(player.watch(title_id, rng.uniform(0, interval_s), until_s, interval_s, segment_s) for player in audience)
    )
    use.report(bench, seconds, sum(len(player.heartbeats_s) for player in audience))
    for name, values in (
        ("press play", [player.play_s for player in audience]),
        ("heartbeat", [value for player in audience for value in player.heartbeats_s]),
        ("segment", [value for player in audience for value in player.segments_s]),
    ):
        bench.report(f"{name}: median", Samples([statistics.median(values)]), "ms")
        bench.report(f"{name}: p99", Samples([statistics.quantiles(values, n=100)[-1]]), "ms")
    bench.report("lost", Samples([await count_lost(deployment, title_id, audience)]), "writes", max_value=0)


class Player(Viewer):
    """A player that watches one film: segments and heartbeats. Times are in seconds."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        super().__init__(http, url)
        self.device = {"name": "test", "kind": "tv"}
        self.position_ms = 0  # the last acknowledged one
        self.play_s = 0.0
        self.heartbeats_s: list[float] = []
        self.segments_s: list[float] = []

    async def watch(self, title_id: str, pause_s: float, until_s: float, interval_s: float, segment_s: float) -> None:
        """Press play after a pause, and watch until a time of the monotonic clock."""
        await asyncio.sleep(pause_s)
        started_s = time.monotonic()
        play = await self.call("POST", "/playback", {"title_id": title_id, "capabilities": {}})
        self.play_s = time.monotonic() - started_s
        await asyncio.gather(
            self._send_heartbeats(play["session_id"], started_s, until_s, interval_s),
            self._fetch_segments(play["hls_path"], until_s, segment_s),
        )

    async def _send_heartbeats(self, session_id: str, started_s: float, until_s: float, interval_s: float) -> None:
        clock = SystemClock()
        while (next_s := started_s + interval_s * (len(self.heartbeats_s) + 1)) < until_s:
            await asyncio.sleep(next_s - time.monotonic())
            position_ms = round((time.monotonic() - started_s) * 1000)
            body = {"position_ms": position_ms, "state": "playing", "at": clock.now().isoformat(), "playing_ms": 30_000}
            sent_s = time.monotonic()
            await self.call("POST", f"/playback/{session_id}/heartbeat", body)
            self.heartbeats_s.append(time.monotonic() - sent_s)
            self.position_ms = position_ms
            if len(self.heartbeats_s) % REFRESH_EVERY == 0:
                await self.refresh()

    async def _fetch_segments(self, path: str, until_s: float, segment_s: float) -> None:
        lines = (await self.call("GET", path)).splitlines()
        variant = next(line for line in lines if line and not line.startswith("#"))
        playlist = (await self.call("GET", urljoin(path, variant))).splitlines()
        number, segments = 0, [line for line in playlist if line and not line.startswith("#")]
        while time.monotonic() + segment_s < until_s:
            sent_s = time.monotonic()
            async with self.session.get(segments[number % len(segments)]) as response:
                response.raise_for_status()
                await response.read()
            self.segments_s.append(time.monotonic() - sent_s)
            number += 1
            await asyncio.sleep(sent_s + segment_s - time.monotonic())


class Use:
    """What the processes of a deployment use from now on."""

    def __init__(self, deployment: Deployment) -> None:
        self._pids = {name: process["pid"] for name, process in deployment.processes().items()}
        self._clock = cpu_clock(*self._pids.values())
        self._before_s = self._clock()
        self._written = self._read("io", _WRITTEN)

    def report(self, bench: Bench, seconds: float, heartbeats: int) -> None:
        """Add the figures; those of disk and memory are from Linux."""
        share = (self._clock() - self._before_s) / seconds
        bench.report("CPU of all processes", Samples([share * 100]), "% of a core")
        written, now = self._written, self._read("io", _WRITTEN)
        if not now:
            return
        services = (now["services"] - written["services"]) / max(heartbeats, 1)
        edges = sum(now[name] - written[name] for name in now if name.startswith("edge"))
        memory = sum(self._read("smaps_rollup", _MEMORY).values())
        bench.report(
            "written to disk by the services, for a heartbeat with all else",
            Samples([services / 1000]),
            "KB",
            max_value=WRITTEN_GOAL_KB,
        )
        bench.report("written to disk by the edges", Samples([edges / 1000 / seconds * 60]), "KB a minute")
        bench.report("memory, shared pages counted once", Samples([memory / 1024]), "MiB")

    def _read(self, name: str, pattern: re.Pattern[str]) -> dict[str, int]:
        """Read a number of each process from `/proc`; nothing where there is none."""
        files = {process: Path(f"/proc/{pid}/{name}") for process, pid in self._pids.items()}
        found = {process: pattern.search(file.read_text()) for process, file in files.items() if file.exists()}
        return {process: int(match[1]) for process, match in found.items() if match}


async def count_lost(deployment: Deployment, title_id: str, audience: Sequence[Player]) -> int:
    """Count acknowledged heartbeats without a fact in the log, and players whose last position is another."""
    async with open_clients(load(None, {}, {"deployment.data": str(deployment.data)})) as domains:
        lost = 0
        for player in audience:
            position = await domains.get(Viewing).get_position(
                account_id=AccountId(player.account_id),
                profile_id=ProfileId(player.profile_id),
                title_id=TitleId(title_id),
            )
            lost += (position.position_ms if position else 0) != player.position_ms
    await asyncio.sleep(RELAYED_S)
    return (
        lost + sum(len(player.heartbeats_s) for player in audience) - await asyncio.to_thread(_count_facts, deployment)
    )


def _count_facts(deployment: Deployment) -> int:
    tail: Any = deployment.matinee("events", "tail", "--since", "1h", "--types", "PlaybackHeartbeat", "--json")
    if tail.returncode:
        raise DeploymentFailed(detail=f"The log cannot be read: {tail.stderr.strip()}")
    return len(tail.stdout.splitlines())
