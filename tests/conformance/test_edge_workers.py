"""Workers of one edge as processes: a shared port, a shared directory, and kills during fills."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.conformance.edge_rig import KEY, HttpResponse, Origin, link, run_edge, run_origin, send_request, wait_until
from tests.deployment import eventually

from matinee.drivers.sql import Database
from matinee.edge.adapters.evictor import DiskEvictor
from matinee.edge.adapters.metrics import FileEdgeMetrics
from matinee.edge.api import EdgeSettings
from matinee.edge.jobs import EdgeReporter, send_heartbeats
from matinee.edge.ports import Metric
from matinee.kit.clock import SystemClock
from matinee.kit.ids import EdgeId
from matinee.steering.adapters.sql import SqlFleetStore
from matinee.steering.api import EdgeReport, Health
from matinee.steering.service import SteeringService

SEGMENT = os.urandom(600_000)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with run_origin() as origin:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        yield origin


def edge_settings(folder: Path, origin: Origin, **more: object) -> EdgeSettings:
    settings = EdgeSettings(
        edge_id=EdgeId("edg_test"),
        cache_dir=folder / "cache",
        cache_limit_bytes=1 << 28,
        upstream=f"http://127.0.0.1:{origin.port}",
        token_keys=(KEY,),
    )
    return msgspec.structs.replace(settings, **more)


@asynccontextmanager
async def run_worker_process(settings: EdgeSettings) -> AsyncIterator[tuple[Process, int]]:
    argument = msgspec.json.encode(settings, enc_hook=str).decode()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.conformance.edge_worker", argument, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        # The log shares the pipe: the port is the line that is a number.
        while not (line := await asyncio.wait_for(process.stdout.readline(), 30)).strip().isdigit():
            assert line, "the worker did not start"
        yield process, int(line)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def request(port: int, path: str) -> HttpResponse:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await send_request(reader, writer, path)
    finally:
        writer.close()


async def test_fill_of_a_killed_worker_is_started_again(tmp_path: Path, origin: Origin) -> None:
    settings = edge_settings(tmp_path, origin)
    origin.pause_at = 200_000
    async with run_worker_process(settings) as (process, port):
        asked = asyncio.create_task(request(port, link("v/1.m4s")))
        fills = tmp_path / "cache/fills"
        await wait_until(lambda: [path for path in fills.iterdir() if path.stat().st_size])
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asked
    assert len(list(fills.iterdir())) == 1
    origin.pause_at = None
    async with run_worker_process(settings) as (_, port):
        await wait_until(lambda: not list(fills.iterdir()))  # deleted at the start
        assert (await request(port, link("v/1.m4s"))).body == SEGMENT
    assert origin.requests.total() == 2


async def test_another_worker_takes_over_a_fill(tmp_path: Path, origin: Origin) -> None:
    origin.pause_at = 0  # no client has received anything yet
    async with run_worker_process(edge_settings(tmp_path, origin)) as (process, port):
        dying = asyncio.create_task(request(port, link("v/1.m4s")))
        await wait_until(lambda: origin.requests.total() == 1)
        async with run_edge(tmp_path, origin) as other:
            waiting = asyncio.create_task(other.request(link("v/1.m4s")))
            await wait_until(lambda: other.total(Metric.MISSES) >= 1)
            process.send_signal(signal.SIGKILL)
            origin.resume.set()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await dying
            result = await asyncio.gather(waiting, return_exceptions=True)
            # A fill that was described is interrupted, another one is started again; never a short response.
            assert isinstance(result[0], asyncio.IncompleteReadError | ConnectionError) or result[0].body == SEGMENT
            origin.pause_at = None
            assert (await other.request(link("v/1.m4s"))).body == SEGMENT
            await wait_until(other.evictor.elect)


async def test_workers_share_a_port_and_counters_survive_them(tmp_path: Path, origin: Origin) -> None:
    settings = edge_settings(tmp_path, origin)
    async with run_worker_process(settings) as (_, port):
        again = msgspec.structs.replace(settings, port=port)
        async with run_worker_process(again) as (first, _), run_worker_process(again):
            answers = await asyncio.gather(*(request(port, link("v/1.m4s")) for _ in range(60)))
            assert {a.body for a in answers} == {SEGMENT}
            assert origin.requests.total() == 1
            first.send_signal(signal.SIGKILL)
            await first.wait()
            bodies = [(await request(port, link("v/1.m4s"))).body for _ in range(20)]
            assert set(bodies) == {SEGMENT}
    metrics = FileEdgeMetrics(settings.cache_dir)
    totals = metrics.totals()
    assert totals[Metric.REQUESTS] == 80
    assert totals[Metric.HITS] + totals[Metric.MISSES] == 80
    assert totals[Metric.CONNECTIONS] == 0
    assert metrics.count_workers() == 1
    metrics.close()


# Heartbeats.


class UnavailableSteering:
    """Steering whose first calls fail."""

    def __init__(self, steering: SteeringService, failures: int) -> None:
        self._steering = steering
        self.failures = failures

    async def heartbeat(self, *, report: EdgeReport) -> Health:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("unavailable")
        return await self._steering.heartbeat(report=report)


async def test_edge_sends_heartbeats_to_steering(tmp_path: Path, origin: Origin) -> None:
    settings = edge_settings(tmp_path, origin, region="eu", cache_limit_bytes=1 << 20)
    metrics, evictor = FileEdgeMetrics(settings.cache_dir), DiskEvictor(settings.cache_dir, 1 << 20)
    (settings.cache_dir / "objects").mkdir()
    (settings.cache_dir / "fills").mkdir()
    async with Database(f"sqlite:///{tmp_path}/steering.db") as database:
        steering = SteeringService(fleet=await SqlFleetStore.open(database), clock=SystemClock())
        unavailable = UnavailableSteering(steering, 1)
        metrics.add(Metric.HITS, 7)
        task = asyncio.create_task(
            send_heartbeats(settings=settings, port=8123, evictor=evictor, metrics=metrics, steering=unavailable)  # type: ignore[arg-type]
        )
        edges = await eventually(steering.list_edges)
        task.cancel()
    assert unavailable.failures == 0
    report = edges[0].report
    assert (report.base_url, report.region, report.hits) == ("http://127.0.0.1:8123", "eu", 7)
    assert (edges[0].health, report.disk_limit_bytes) == ("healthy", 1 << 20)
    metrics.close()
    evictor.close()


def test_load_is_the_greater_of_connections_and_cpu(tmp_path: Path, origin: Origin) -> None:
    settings = edge_settings(tmp_path, origin, max_connections=100, base_url="https://edge.example/")
    metrics = FileEdgeMetrics(settings.cache_dir)
    reporter = EdgeReporter(settings, 1, metrics)
    metrics.set(Metric.CONNECTIONS, 25)
    assert (reporter.report(10.0).load, reporter.report(11.0).base_url) == (0.25, "https://edge.example/")
    metrics.set(Metric.CPU_MS, 900)
    assert reporter.report(12.0).load == 0.9
    metrics.set(Metric.CONNECTIONS, 1000)
    assert reporter.report(13.0).load == 1.0
    metrics.close()
