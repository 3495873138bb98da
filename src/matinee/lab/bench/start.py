"""CPU time of press play in all processes that take part, beside a no-op on the same path through Envoy and gateway."""

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

from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench
from matinee.lab.deployment import Deployment, make_film

AREA = "start"
GOAL = 4.0
CLIENTS = 8
PASSWORD = "bench, bench, bench"  # noqa: S105  # of a temporary account


def measure(bench: Bench) -> list[Figure]:
    """Measure; only on Linux, by `/proc`."""
    if sys.platform != "linux":
        return []
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder:
        deployment = Deployment(Path(folder) / "data", settings={"MATINEE__GATEWAY__REQUESTS_PER_MINUTE": "1000000"})
        deployment.start()
        try:
            title = deployment.ingest(make_film(Path(folder) / "film.mp4", seconds=6), "Bench")
            return asyncio.run(_measure(deployment, title["title_id"], bench.size(5, 1), bench.size(400, 16)))
        finally:
            deployment.stop()


async def _measure(deployment: Deployment, title_id: str, rounds: int, requests: int) -> list[Figure]:
    async with aiohttp.ClientSession() as session:
        headers = await sign_up(session, deployment.url)
        body = {"title_id": title_id, "capabilities": {}}

        async def play() -> None:
            async with session.post(f"{deployment.url}/api/v1/playback", json=body, headers=headers) as response:
                await _read(response)

        async def ping() -> None:
            async with session.get(f"{deployment.url}/api/v1/ping", headers=headers) as response:
                await _read(response)

        ours, baselines = [], []
        for _ in range(rounds + 1):
            baselines.append(await _cpu_us(deployment, ping, requests))
            ours.append(await _cpu_us(deployment, play, requests))
    value, baseline = statistics.median(ours[1:]), statistics.median(baselines[1:])
    name, baseline_name = "CPU per play start", "no-op, same path"
    return [make_figure(AREA, name, value, "µs", baseline=baseline, baseline_name=baseline_name, goal=GOAL)]


async def sign_up(session: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """Open an account and choose its profile; return the headers for further calls."""
    device = {"name": "bench", "kind": "other"}
    account = {"email": "bench@matinee.example", "password": PASSWORD, "name": "Bench", "device": device}
    first = await _call(session, "POST", f"{url}/api/v1/auth/sign-up", account, {})
    headers = {"Authorization": f"Bearer {first['access_token']}"}
    profile = (await _call(session, "GET", f"{url}/api/v1/profiles", None, headers))[0]["profile_id"]
    chosen = await _call(session, "POST", f"{url}/api/v1/profiles/{profile}/choose", {}, headers)
    return {"Authorization": f"Bearer {chosen['access_token']}"}


async def _call(session: aiohttp.ClientSession, method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
    async with session.request(method, url, json=body, headers=headers) as response:
        response.raise_for_status()
        return await response.json()


async def _read(response: aiohttp.ClientResponse) -> None:
    response.raise_for_status()
    await response.read()


async def _cpu_us(deployment: Deployment, call: Callable[[], Awaitable[None]], requests: int) -> float:
    """Return the CPU time of Envoy and the services per call, in µs, over calls of several clients at once."""
    before = _cpu_s(deployment)

    async def client() -> None:
        for _ in range(requests // CLIENTS):
            await call()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return (_cpu_s(deployment) - before) / requests * 1e6


def _cpu_s(deployment: Deployment) -> float:
    """Return the CPU time of the processes that take part, user and system; not of edges and encoders."""
    pids = [process["pid"] for name, process in deployment.processes().items() if name in {"envoy", "services"}]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
