"""Pressing play beside a no-op, both through Envoy and gateway: processor time of every process that takes part."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from matinee.lab.bench.figure import Figure, compared
from matinee.lab.deployment import Deployment, film

AREA = "start"
GOAL = 4.0
CLIENTS = 8
PASSWORD = "bench, bench, bench"  # noqa: S105  # of an account that lives as long as this bench


def figures(*, rounds: int = 5, requests: int = 400) -> list[Figure]:
    """Measure. Only on Linux, where `/proc` tells what a process has used."""
    if sys.platform != "linux":
        return []
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as place:
        deployment = Deployment(Path(place) / "data", settings={"MATINEE__GATEWAY__REQUESTS_PER_MINUTE": "1000000"})
        deployment.start()
        try:
            title = deployment.ingest(film(Path(place) / "film.mp4", seconds=6), "Bench")
            return asyncio.run(_measured(deployment, title["title_id"], rounds, requests))
        finally:
            deployment.stop()


async def _measured(deployment: Deployment, title_id: str, rounds: int, requests: int) -> list[Figure]:
    async with aiohttp.ClientSession() as session:
        headers = await viewer(session, deployment.url)
        body = {"title_id": title_id, "capabilities": {}}

        async def play() -> None:
            async with session.post(f"{deployment.url}/api/v1/playback", json=body, headers=headers) as answer:
                await _good(answer)

        async def nothing() -> None:
            async with session.get(f"{deployment.url}/api/v1/ping", headers=headers) as answer:
                await _good(answer)

        ours, theirs = [], []
        for _ in range(rounds + 1):
            theirs.append(await _cpu_us(deployment, nothing, requests))
            ours.append(await _cpu_us(deployment, play, requests))
    value, baseline = statistics.median(ours[1:]), statistics.median(theirs[1:])
    name = "cpu per play start"
    return [compared(AREA, name, value, "µs", baseline=baseline, baseline_name="no-op, same way in", goal=GOAL)]


async def viewer(session: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """Open an account, choose its profile; the headers that say so."""
    device = {"name": "bench", "kind": "other"}
    said = {"email": "bench@matinee.example", "password": PASSWORD, "name": "Bench", "device": device}
    first = await _call(session, "POST", f"{url}/api/v1/auth/sign-up", said, {})
    headers = {"Authorization": f"Bearer {first['access_token']}"}
    profile = (await _call(session, "GET", f"{url}/api/v1/profiles", None, headers))[0]["profile_id"]
    chosen = await _call(session, "POST", f"{url}/api/v1/profiles/{profile}/choose", {}, headers)
    return {"Authorization": f"Bearer {chosen['access_token']}"}


async def _call(session: aiohttp.ClientSession, method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
    async with session.request(method, url, json=body, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.json()


async def _good(answer: aiohttp.ClientResponse) -> None:
    answer.raise_for_status()
    await answer.read()


async def _cpu_us(deployment: Deployment, call: Callable[[], Awaitable[None]], requests: int) -> float:
    """Processor time of Envoy and the services for one call, in µs, over some at once and many after another."""
    before = _used_s(deployment)

    async def client() -> None:
        for _ in range(requests // CLIENTS):
            await call()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return (_used_s(deployment) - before) / requests * 1e6


def _used_s(deployment: Deployment) -> float:
    """User and system time of the processes on the way in; edges and encoders have no part in it."""
    pids = [seen["pid"] for name, seen in deployment.processes().items() if name in {"envoy", "services"}]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
