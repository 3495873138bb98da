"""Fixtures of the journeys: deployments, an HTTP client and a browser."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright, expect
from tests.deployment import CHROMIUM_FLAGS, Deployment, create_deployment, find_chromium
from tests.journeys.encoding_deployment import EncodingDeployment
from tests.journeys.master_rig import FILM, SECONDS, Ingest, open_with_film, worker
from tests.unit.encoding_rig import make_film

from matinee.catalogue.api import Asset
from matinee.encoding.api import Job, Order

# As of `eventually`, the limit only ends tests that would never end.
expect.set_options(timeout=90_000)


@pytest.fixture
def make_deployment(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Create deployments that are stopped at the end."""
    numbers = itertools.count()
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(create_deployment(tmp_path / f"data{next(numbers)}", **options))


@pytest.fixture
async def master(tmp_path: Path) -> Path:
    """Return a film that takes some seconds to encode, in a file whose name has to be quoted."""
    return await make_film(tmp_path / 'it\'s a "master" 🎬.mkv', seconds=SECONDS)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[EncodingDeployment]:
    async with open_with_film(tmp_path / "data") as one:
        yield one


@pytest.fixture
def ingest(deployment: EncodingDeployment) -> Ingest:
    """Return a function that encodes a master whole."""

    async def run(path: Path) -> tuple[Job, Asset]:
        job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(path), language="en"))
        await worker(deployment).run_next()
        job = await deployment.encoding.get_job(job_id=job.job_id)
        assert (job.state, job.reason) == ("done", "")
        return job, (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset

    return run


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        yield browser
        await browser.close()
