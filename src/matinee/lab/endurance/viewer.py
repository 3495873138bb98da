"""A viewer as a player makes them: home, play, manifest, segments, heartbeats, and again."""

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

PASSWORD = "endure, endure, endure"  # noqa: S105  # of accounts that live as long as the run
RETRY_S = 0.5
LIMIT_S = 10.0
PACE_S = (0.1, 0.4)
STEP_MS = 200
BEATS = 12


class Acknowledged(msgspec.Struct, kw_only=True):
    """The newest position that the deployment has taken for a profile; those sent later and not answered may stand too."""

    account_id: str
    profile_id: str
    position_ms: int = 0
    sent_ms: int = 0


class GaveUp(Exception):
    """A call failed twice."""


class Viewer:
    """One account on one device; what it saw goes to the report."""

    def __init__(self, http: aiohttp.ClientSession, url: str, report: Report, rng: Random, number: int) -> None:
        self._http = http
        self._url = url
        self._report = report
        self._dice = rng
        self._number = number
        self._headers: dict[str, str] = {}
        self.seen = Acknowledged(account_id="", profile_id="")

    async def arrive(self) -> None:
        """Open an account and choose its profile."""
        device = {"name": "endurance", "kind": "other"}
        said = {
            "email": f"viewer-{self._number}@matinee.example", "password": PASSWORD, "name": "Viewer",
            "device": device,
        }  # fmt: skip
        first = await self._call("POST", "/auth/sign-up", said)
        self._signed_in(first)
        profile_id = (await self._call("GET", "/profiles"))[0]["profile_id"]
        self._signed_in(await self._call("POST", f"/profiles/{profile_id}/choose", {}))
        self.seen = Acknowledged(account_id=first["account_id"], profile_id=profile_id)

    async def watch(self, title_id: str, until_s: float) -> None:
        """Watch a film again and again until a time of the monotonic clock."""
        while time.monotonic() < until_s:
            try:
                await self._one_session(title_id)
            except GaveUp:
                await asyncio.sleep(RETRY_S)

    async def _one_session(self, title_id: str) -> None:
        await self._call("GET", "/home")
        play = await self._call("POST", "/playback", {"title_id": title_id, "capabilities": {}})
        self._report.plays += 1
        self._check_resume(play["resume_ms"])
        await self._segments(play)
        for _ in range(self._dice.randint(2, BEATS)):
            await asyncio.sleep(self._dice.uniform(*PACE_S))
            await self._heartbeat(play["session_id"], "heartbeat")
        await self._heartbeat(play["session_id"], "end")

    def _check_resume(self, resume_ms: int) -> None:
        """A player goes on a few seconds before where it was; never further back, nor ahead of what was ever sent."""
        seen = self.seen
        if not seen.position_ms - 30_000 <= resume_ms <= max(seen.sent_ms, seen.position_ms):
            self._report.lost.append(f"{seen.profile_id} resumed at {resume_ms}, was at {seen.position_ms} ms")

    async def _heartbeat(self, session_id: str, verb: str) -> None:
        self.seen.sent_ms += STEP_MS
        position_ms = self.seen.sent_ms
        said = {"position_ms": position_ms, "state": "playing", "at": datetime.now(UTC).isoformat()}
        await self._call("POST", f"/playback/{session_id}/{verb}", said)
        self.seen.position_ms = position_ms
        self._report.heartbeats += 1

    async def _segments(self, play: dict[str, Any]) -> None:
        """The manifest, and the head of a file from an edge: another edge when the first one fails."""
        manifest = await self._call("GET", play["hls_path"], api="")
        variant = next(line for line in manifest.splitlines() if line and not line.startswith("#"))
        playlist = await self._call("GET", urljoin(play["hls_path"], variant), api="")
        name = next(line for line in playlist.splitlines() if line and not line.startswith("#"))
        edge, _, below = name.partition("/t/")

        async def elsewhere() -> str:
            """As a player does whose edge fails: it asks for other ones, and goes on there."""
            failed = [one["edge_id"] for one in play["deliveries"] if one["base_url"].startswith(f"{edge}/")]
            renewal = await self._call("POST", f"/playback/{play['session_id']}/renew", {"failed": failed})
            places = [one["base_url"].partition("/t/") for one in renewal["deliveries"]]
            other, _, links = next((place for place in places if place[0] != edge), places[0])
            return f"{other}/t/{links.partition('/')[0]}/{below.partition('/')[2]}"

        await self._call("GET", name, api="", whole=False, elsewhere=elsewhere)
        self._report.segments += 1

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        api: str = "/api/v1",
        whole: bool = True,
        elsewhere: Callable[[], Awaitable[str]] | None = None,
    ) -> Any:
        """A call, repeated once (where `elsewhere` says, if given) where the deployment failed it. Raises GaveUp."""
        troubles: list[str] = []
        for attempt in range(2):
            began = time.monotonic()
            place = await elsewhere() if elsewhere and attempt else path
            url = place if place.startswith("http") else f"{self._url}{api}{place}"
            try:
                async with asyncio.timeout(LIMIT_S):
                    status, answer = await self._answer(method, url, body, whole)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                status, answer = 0, repr(error)
            self._report.took_ms.append((time.monotonic() - began) * 1000)
            self._report.calls += 1
            if 200 <= status < 300:
                self._report.retried += troubles
                return answer
            troubles.append(
                f"{self._report.at_s():.1f} s {method} {url.split('?')[0][:80]}: {status} {str(answer)[:160]}"
            )
            if attempt == 0:
                await asyncio.sleep(RETRY_S)
        self._report.failed.append(" | ".join(troubles))
        raise GaveUp

    async def _answer(self, method: str, url: str, body: Any, whole: bool) -> tuple[int, Any]:
        async with self._http.request(method, url, json=body, headers=self._headers) as answer:
            if not whole:
                await answer.content.readany()
                return answer.status, None
            text = await answer.text()
            parsed = answer.ok and "json" in answer.content_type and text
            return answer.status, msgspec.json.decode(text) if parsed else text

    def _signed_in(self, session: dict[str, Any]) -> None:
        self._headers = {"Authorization": f"Bearer {session['access_token']}"}
