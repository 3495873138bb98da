"""Supervision of background jobs, alone, in a service and in an edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
from tests.deployment import eventually
from tests.unit.mesh_rig import open_rig

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.http import HttpClient
from matinee.edge.adapters.metrics import FileEdgeMetrics
from matinee.edge.api import EdgeSettings
from matinee.edge.ports import Metric
from matinee.edge.server import EdgeServer
from matinee.kit.clock import SystemClock
from matinee.kit.ids import EdgeId
from matinee.mesh.host import Readiness
from matinee.mesh.jobs import JobSupervisor

Fail = Callable[[], Awaitable[None]]


class Supervised:
    """A supervisor without pauses; for each failure the name of the job, and whether it was reported as failing."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.reported: list[bool] = []
        self.jobs = JobSupervisor(
            on_failure=self._on_failure, rng=Random(1), pause_s=0.0001, max_pause_s=0.0001, stable_s=0.2
        )

    def _on_failure(self, job: str) -> None:
        self.failures.append(job)
        self.reported.append(bool(self.jobs.failing))

    async def has_failed(self, times: int) -> None:
        await eventually(lambda: len(self.failures) >= times)


@pytest.fixture
async def supervised() -> AsyncIterator[Supervised]:
    supervised = Supervised()
    yield supervised
    await supervised.jobs.stop()


async def fail() -> None:
    raise ValueError("a bug")


async def test_a_failed_job_is_restarted_and_counted(supervised: Supervised) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError
        await asyncio.Event().wait()

    supervised.jobs.start("work", work)
    await eventually(lambda: len(runs) == 3)
    assert supervised.failures == ["work", "work"]
    assert supervised.jobs.failing == ()


async def test_a_job_that_keeps_failing_is_reported_with_its_error(supervised: Supervised) -> None:
    supervised.jobs.start("work", fail)
    await supervised.has_failed(3)
    (failing,) = supervised.jobs.failing
    assert (failing.job, failing.error) == ("work", "ValueError('a bug')")
    assert failing.failures >= 3


async def test_a_job_that_recovers_is_no_longer_reported(supervised: Supervised) -> None:
    async def work() -> None:
        if len(supervised.failures) < 4:
            raise ValueError
        await asyncio.Event().wait()

    supervised.jobs.start("work", work)
    await supervised.has_failed(4)
    assert supervised.reported == [False, False, True, True]
    await eventually(lambda: not supervised.jobs.failing)


async def test_failures_of_an_engine_are_restarted_but_not_reported(supervised: Supervised) -> None:
    async def work() -> None:
        raise EngineUnavailable(engine="mariadb")

    supervised.jobs.start("work", work)
    await supervised.has_failed(5)
    assert supervised.jobs.failing == ()


async def test_a_job_that_cancels_itself_is_restarted(supervised: Supervised) -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    supervised.jobs.start("work", work)
    await supervised.has_failed(2)


async def test_a_job_that_returns_is_finished(supervised: Supervised) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)

    supervised.jobs.start("work", work)
    supervised.jobs.start("other", fail)
    await supervised.has_failed(3)
    assert runs == [1]


async def test_stopping_cancels_running_and_paused_jobs() -> None:
    jobs, cancelled = JobSupervisor(on_failure=lambda _: None, pause_s=60), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    jobs.start("running", work)
    jobs.start("paused", fail)
    await asyncio.sleep(0.01)
    await jobs.stop()
    assert cancelled.is_set()


async def test_a_service_with_a_failing_job_is_not_ready(supervised: Supervised) -> None:
    async with open_rig(0) as rig:
        running = await rig.start(readiness=lambda: Readiness(jobs=supervised.jobs.failing))
        url = running.server.address + "/readyz"
        assert (await rig.http.request("GET", url, timeout_s=5)).status == 200
        supervised.jobs.start("relay", fail)
        await supervised.has_failed(3)
        answer = await rig.http.request("GET", url, timeout_s=5)
        document = msgspec.json.decode(answer.body)
        assert (answer.status, document["state"]) == (503, "failing")
        assert (document["jobs"][0]["job"], document["jobs"][0]["error"]) == ("relay", "ValueError('a bug')")
        assert (await rig.http.request("GET", running.server.address + "/healthz", timeout_s=5)).status == 200


class NoUpstream:
    async def close(self) -> None:
        """Do nothing."""


async def test_an_edge_with_a_failing_job_is_not_ready_and_counts_it(tmp_path: Path, supervised: Supervised) -> None:
    settings = EdgeSettings(
        edge_id=EdgeId("edg_1"), cache_dir=tmp_path, upstream="file:///nowhere", token_keys=(b"k" * 32,), admin_port=0
    )
    metrics = FileEdgeMetrics(tmp_path)
    server = EdgeServer(
        settings,
        store=None,  # type: ignore[arg-type]  # nothing is requested
        upstream=NoUpstream(),  # type: ignore[arg-type]
        metrics=metrics,
        clock=SystemClock(),
        jobs=supervised.jobs,
    )
    await server.start()
    try:
        async with HttpClient() as http:
            url = f"http://127.0.0.1:{server.admin_port}"
            assert (await http.request("GET", f"{url}/readyz", timeout_s=5)).status == 200
            server.jobs.start("heartbeats", fail)
            await supervised.has_failed(3)
            answer = await http.request("GET", f"{url}/readyz", timeout_s=5)
            assert answer.status == 503
            assert msgspec.json.decode(answer.body)["jobs"][0]["job"] == "heartbeats"
            assert (await http.request("GET", f"{url}/healthz", timeout_s=5)).status == 200
    finally:
        await server.stop(0)
        metrics.close()


async def test_an_edge_counts_failures_of_its_jobs(tmp_path: Path) -> None:
    settings = EdgeSettings(
        edge_id=EdgeId("edg_1"), cache_dir=tmp_path, upstream="file:///nowhere", token_keys=(b"k" * 32,)
    )
    metrics = FileEdgeMetrics(tmp_path)
    server = EdgeServer(settings, store=None, upstream=NoUpstream(), metrics=metrics, clock=SystemClock())  # type: ignore[arg-type]
    server.jobs.start("cpu", fail)
    await eventually(lambda: metrics.totals()[Metric.JOB_FAILURES] == 1)
    await server.jobs.stop()
    metrics.close()
