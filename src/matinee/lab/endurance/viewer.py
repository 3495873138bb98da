"""A viewer that acts like a player: home, play, manifest, segments, heartbeats, and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import urljoin

import aiohttp

from matinee.lab.endurance.report import Report
from matinee.lab.viewer import Viewer

RETRY_S = 0.5
LIMIT_S = 10.0
PACE_S = (0.1, 0.4)
STEP_MS = 200
HEARTBEATS = 12
START_OF_FILE = {"Range": "bytes=0-65535"}


class CallFailed(Exception):
    """A call failed twice."""


class RetryingViewer(Viewer):
    """A viewer who repeats a failed call once, as players do; results go to the report."""

    def __init__(self, http: aiohttp.ClientSession, url: str, report: Report, rng: Random) -> None:
        super().__init__(http, url)
        self._report = report
        self._rng = rng
        self.position_ms = 0  # the last acknowledged one
        self.sent_ms = 0  # the last one sent, which may have been stored too

    async def watch(self, title_id: str, until_s: float) -> None:
        """Watch a film again and again until a time of the monotonic clock."""
        while time.monotonic() < until_s:
            try:
                await self._play(title_id)
            except CallFailed:
                await asyncio.sleep(RETRY_S)

    async def _play(self, title_id: str) -> None:
        await self.call("GET", "/home")
        play = await self.call("POST", "/playback", {"title_id": title_id, "capabilities": {}})
        self._report.plays += 1
        self._check_resume(play["resume_ms"])
        await self._fetch_segment(play)
        for _ in range(self._rng.randint(2, HEARTBEATS)):
            await asyncio.sleep(self._rng.uniform(*PACE_S))
            await self._heartbeat(play["session_id"], "heartbeat")
        await self._heartbeat(play["session_id"], "end")

    def _check_resume(self, resume_ms: int) -> None:
        """Check that play resumes at most 30 s before the acknowledged position, and not after the last one sent."""
        if not self.position_ms - 30_000 <= resume_ms <= self.sent_ms:
            self._report.lost.append(f"{self.profile_id} resumed at {resume_ms}, was at {self.position_ms} ms")

    async def _heartbeat(self, session_id: str, verb: str) -> None:
        self.sent_ms += STEP_MS
        position_ms = self.sent_ms
        body = {"position_ms": position_ms, "state": "playing", "at": datetime.now(UTC).isoformat()}
        await self.call("POST", f"/playback/{session_id}/{verb}", body)
        self.position_ms = position_ms
        self._report.heartbeats += 1

    async def _fetch_segment(self, play: dict[str, Any]) -> None:
        """Fetch the manifest and the start of a file from an edge, or from another edge if the first one fails."""
        manifest = await self.call("GET", play["hls_path"])
        variant = next(line for line in manifest.splitlines() if line and not line.startswith("#"))
        playlist = await self.call("GET", urljoin(play["hls_path"], variant))
        name = next(line for line in playlist.splitlines() if line and not line.startswith("#"))
        edge, _, below = name.partition("/t/")

        async def find_other_edge() -> str:
            failed = [one["edge_id"] for one in play["deliveries"] if one["base_url"].startswith(f"{edge}/")]
            renewal = await self.call("POST", f"/playback/{play['session_id']}/renew", {"failed": failed})
            links = [one["base_url"].partition("/t/") for one in renewal["deliveries"]]
            other, _, token = next((link for link in links if link[0] != edge), links[0])
            return f"{other}/t/{token.partition('/')[0]}/{below.partition('/')[2]}"

        await self.call("GET", name, headers=START_OF_FILE, find_other=find_other_edge)
        self._report.segments += 1

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        find_other: Callable[[], Awaitable[str]] | None = None,
        **rest: Any,
    ) -> Any:
        """Make a call, and repeat it once if it fails, at the URL of `find_other` if given. Raises CallFailed."""
        failures: list[str] = []
        for attempt in range(2):
            started_s = time.monotonic()
            target = await find_other() if find_other and attempt else path
            try:
                async with asyncio.timeout(LIMIT_S):
                    status, content = await self.request(method, target, body, **rest)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                status, content = 0, repr(error)
            self._report.times_ms.append((time.monotonic() - started_s) * 1000)
            self._report.calls += 1
            if 200 <= status < 300:
                self._report.retried += failures
                return content
            failures.append(
                f"{self._report.elapsed_s():.1f} s {method} {target.split('?')[0][:80]}: {status} {str(content)[:160]}"
            )
            if attempt == 0:
                await asyncio.sleep(RETRY_S)
        self._report.failed.append(" | ".join(failures))
        raise CallFailed
