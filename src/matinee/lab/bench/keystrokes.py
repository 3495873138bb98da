"""Search as viewers type, through the gateway of an embedded deployment: waiting times at a sustained rate."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import aiohttp

from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import Asset, Title
from matinee.catalogue.ports import Change
from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench, cpu_clock
from matinee.lab.bench.search import QUERIES, SMALLEST_QUERIES, SMALLEST_TITLES, TITLES, type_queries
from matinee.lab.catalogue import GeneratedTitle, generate_titles
from matinee.lab.deployment import Deployment, DeploymentFailed
from matinee.lab.search import JudgedQuery, generate_queries
from matinee.lab.search.trial import to_title
from matinee.lab.viewer import Viewer

RATES, SMALLEST_RATES = (100, 200), (20,)
SECONDS, SMALLEST_SECONDS = 30, 2
VIEWERS = 20
BUILT_S = 900.0
# A sign-in is limited, and so are the requests of an account.
SETTINGS = {f"MATINEE__GATEWAY__{limit}": "1000000" for limit in ("REQUESTS_PER_MINUTE", "SIGN_INS_PER_MINUTE")}
_SEED = 1
_POLL_S = 1.0
_OK, _OVERLOADED = 200, frozenset({503, 504})
_BATCH = 250


async def measure(bench: Bench) -> None:
    """Measure; publishing and indexing 36,000 titles takes four minutes."""
    titles = list(generate_titles(bench.size(TITLES, SMALLEST_TITLES), _SEED))
    queries = generate_queries(titles, bench.size(QUERIES, SMALLEST_QUERIES), _SEED)
    rates = SMALLEST_RATES if bench.smallest else RATES
    seconds = bench.size(SECONDS, SMALLEST_SECONDS)
    deployment = Deployment(bench.folder / "data", settings=SETTINGS)
    await _publish(deployment.data / "catalogue.db", titles)
    bench.stack.callback(deployment.stop)
    await asyncio.to_thread(deployment.start)
    await _wait_for_index(deployment)
    connector = aiohttp.TCPConnector(limit=0)
    http = await bench.stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    viewers = [Viewer(http, deployment.url) for _ in range(VIEWERS)]
    for number, viewer in enumerate(viewers):
        await viewer.sign_up(f"viewer-{number}@matinee.example")
    await _type(viewers, list(type_queries(queries, rates[0])), rates[0])  # opens connections, and reads the index once
    for rate in rates:
        await _measure_rate(bench, deployment, viewers, list(type_queries(queries, rate * seconds)), rate)


async def _measure_rate(
    bench: Bench, deployment: Deployment, viewers: Sequence[Viewer], keystrokes: Sequence[JudgedQuery], rate: int
) -> None:
    clock = cpu_clock(*(process["pid"] for process in deployment.processes().values()))
    before_s, started_s = clock(), time.monotonic()
    typed = await _type(viewers, keystrokes, rate)
    count, took_s = len(typed.waits_s), time.monotonic() - started_s
    name = f"{rate} a second"
    bench.report(f"{name}: answered", Samples([(count - typed.refused) / took_s]), "keystrokes/s")
    bench.report(f"{name}: refused, or too late", Samples([typed.refused / count]), "of all", max_value=0)
    bench.report(f"{name}: partial answers", Samples([typed.partial / count]), "of all", max_value=0)
    bench.report(f"{name}: CPU of all processes, a keystroke", Samples([(clock() - before_s) / count]), "ms")
    bench.report(f"{name}: median wait", Samples([statistics.median(typed.waits_s)]), "ms")
    bench.report(f"{name}: p99 of the wait", Samples([statistics.quantiles(typed.waits_s, n=100)[-1]]), "ms")


async def _publish(file: Path, titles: Sequence[GeneratedTitle]) -> None:
    """Write published titles into the store of a catalogue that is not running."""
    file.parent.mkdir(parents=True, exist_ok=True)
    now = SystemClock().now()
    async with Database(f"sqlite:///{file}") as database:
        store = await SqlTitleStore.open(database)

        def publish(title: Title, _: Title | None, __: list[Asset]) -> Change:
            return Change(title=title)

        for first in range(0, len(titles), _BATCH):
            batch = [to_title(generated, published_at=now) for generated in titles[first : first + _BATCH]]
            await asyncio.gather(*(store.change(title.title_id, partial(publish, title), now) for title in batch))


async def _wait_for_index(deployment: Deployment) -> None:
    """Wait for the index that a new deployment builds. Raises DeploymentFailed."""
    ends_at = time.monotonic() + BUILT_S
    while time.monotonic() < ends_at:
        result = await asyncio.to_thread(deployment.matinee, "search", "status", "--json")
        status = json.loads(result.stdout) if result.returncode == 0 else {}
        if status.get("version") and status["building"] is None:
            return
        await asyncio.sleep(_POLL_S)
    raise DeploymentFailed(detail=f"The index was not built: {result.stdout}{result.stderr}")


class _Typed:
    """The waiting times of keystrokes, and how many were refused, or answered in part."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self.partial = self.refused = 0


async def _type(viewers: Sequence[Viewer], keystrokes: Sequence[JudgedQuery], rate: int) -> _Typed:
    """Send keystrokes at a rate, whether or not the earlier ones were answered. Raises DeploymentFailed."""
    typed = _Typed()

    async def send(viewer: Viewer, query: str) -> None:
        sent_s = time.monotonic()
        try:
            status, answer = await viewer.request("GET", "/search", params={"q": query})
        except aiohttp.ClientError:  # Envoy ends a response that takes too long
            status = 504
        typed.waits_s.append(time.monotonic() - sent_s)
        if status in _OVERLOADED:
            typed.refused += 1
        elif status != _OK:
            raise DeploymentFailed(detail=f"GET /search: {status} {answer}")
        else:
            typed.partial += answer["partial"]

    started_s = time.monotonic()
    async with asyncio.TaskGroup() as sending:
        for number, keystroke in enumerate(keystrokes):
            await asyncio.sleep(started_s + number / rate - time.monotonic())
            sending.create_task(send(viewers[number % len(viewers)], keystroke.text))
    return typed
