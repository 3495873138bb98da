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
import msgspec

from matinee.lab.endurance.report import Report

PASSWORD = "endurance, endurance"  # noqa: S105  # of temporary accounts
RETRY_S = 0.5
LIMIT_S = 10.0
PACE_S = (0.1, 0.4)
STEP_MS = 200
HEARTBEATS = 12


class Acknowledged(msgspec.Struct, kw_only=True):
    """The last acknowledged position of a profile, and the last one sent, which may have been stored too."""

    account_id: str
    profile_id: str
    position_ms: int = 0
    sent_ms: int = 0


class CallFailed(Exception):
    """A call failed twice."""


class Viewer:
    """An account with a device; results go to the report."""

    def __init__(self, http: aiohttp.ClientSession, url: str, report: Report, rng: Random, number: int) -> None:
        self._http = http
        self._url = url
        self._report = report
        self._rng = rng
        self._number = number
        self._headers: dict[str, str] = {}
        self.acknowledged = Acknowledged(account_id="", profile_id="")

    async def sign_up(self) -> None:
        """Open an account and choose its profile."""
        device = {"name": "endurance", "kind": "other"}
        account = {
            "email": f"viewer-{self._number}@matinee.example", "password": PASSWORD, "name": "Viewer",
            "device": device,
        }  # fmt: skip
        first = await self._call("POST", "/auth/sign-up", account)
        self._use_token(first)
        profile_id = (await self._call("GET", "/profiles"))[0]["profile_id"]
        self._use_token(await self._call("POST", f"/profiles/{profile_id}/choose", {}))
        self.acknowledged = Acknowledged(account_id=first["account_id"], profile_id=profile_id)

    async def watch(self, title_id: str, until_s: float) -> None:
        """Watch a film again and again until a time of the monotonic clock."""
        while time.monotonic() < until_s:
            try:
                await self._play(title_id)
            except CallFailed:
                await asyncio.sleep(RETRY_S)

    async def _play(self, title_id: str) -> None:
        await self._call("GET", "/home")
        play = await self._call("POST", "/playback", {"title_id": title_id, "capabilities": {}})
        self._report.plays += 1
        self._check_resume(play["resume_ms"])
        await self._fetch_segment(play)
        for _ in range(self._rng.randint(2, HEARTBEATS)):
            await asyncio.sleep(self._rng.uniform(*PACE_S))
            await self._heartbeat(play["session_id"], "heartbeat")
        await self._heartbeat(play["session_id"], "end")

    def _check_resume(self, resume_ms: int) -> None:
        """Check that play resumes at most 30 s before the acknowledged position, and not after the last one sent."""
        last = self.acknowledged
        if not last.position_ms - 30_000 <= resume_ms <= max(last.sent_ms, last.position_ms):
            self._report.lost.append(f"{last.profile_id} resumed at {resume_ms}, was at {last.position_ms} ms")

    async def _heartbeat(self, session_id: str, verb: str) -> None:
        self.acknowledged.sent_ms += STEP_MS
        position_ms = self.acknowledged.sent_ms
        body = {"position_ms": position_ms, "state": "playing", "at": datetime.now(UTC).isoformat()}
        await self._call("POST", f"/playback/{session_id}/{verb}", body)
        self.acknowledged.position_ms = position_ms
        self._report.heartbeats += 1

    async def _fetch_segment(self, play: dict[str, Any]) -> None:
        """Fetch the manifest and the start of a file from an edge, or from another edge if the first one fails."""
        manifest = await self._call("GET", play["hls_path"], api="")
        variant = next(line for line in manifest.splitlines() if line and not line.startswith("#"))
        playlist = await self._call("GET", urljoin(play["hls_path"], variant), api="")
        name = next(line for line in playlist.splitlines() if line and not line.startswith("#"))
        edge, _, below = name.partition("/t/")

        async def find_other_edge() -> str:
            failed = [one["edge_id"] for one in play["deliveries"] if one["base_url"].startswith(f"{edge}/")]
            renewal = await self._call("POST", f"/playback/{play['session_id']}/renew", {"failed": failed})
            links = [one["base_url"].partition("/t/") for one in renewal["deliveries"]]
            other, _, token = next((link for link in links if link[0] != edge), links[0])
            return f"{other}/t/{token.partition('/')[0]}/{below.partition('/')[2]}"

        await self._call("GET", name, api="", complete=False, find_other=find_other_edge)
        self._report.segments += 1

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        api: str = "/api/v1",
        complete: bool = True,
        find_other: Callable[[], Awaitable[str]] | None = None,
    ) -> Any:
        """Make a call, and repeat it once if it fails, at the URL of `find_other` if given. Raises CallFailed."""
        failures: list[str] = []
        for attempt in range(2):
            started_s = time.monotonic()
            target = await find_other() if find_other and attempt else path
            url = target if target.startswith("http") else f"{self._url}{api}{target}"
            try:
                async with asyncio.timeout(LIMIT_S):
                    status, response = await self._request(method, url, body, complete)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                status, response = 0, repr(error)
            self._report.times_ms.append((time.monotonic() - started_s) * 1000)
            self._report.calls += 1
            if 200 <= status < 300:
                self._report.retried += failures
                return response
            failures.append(
                f"{self._report.elapsed_s():.1f} s {method} {url.split('?')[0][:80]}: {status} {str(response)[:160]}"
            )
            if attempt == 0:
                await asyncio.sleep(RETRY_S)
        self._report.failed.append(" | ".join(failures))
        raise CallFailed

    async def _request(self, method: str, url: str, body: Any, complete: bool) -> tuple[int, Any]:
        async with self._http.request(method, url, json=body, headers=self._headers) as response:
            if not complete:
                await response.content.readany()
                return response.status, None
            text = await response.text()
            parsed = response.ok and "json" in response.content_type and text
            return response.status, msgspec.json.decode(text) if parsed else text

    def _use_token(self, session: dict[str, Any]) -> None:
        self._headers = {"Authorization": f"Bearer {session['access_token']}"}
