"""Houses, viewers and browsers for the journeys."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright
from tests.deployment import ABSENT, CHROMIUM_FLAGS, Deployment


@pytest.fixture
def make_deployment(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Make deployments; they are stopped at the end."""
    made: list[Deployment] = []

    def make(**words: Any) -> Deployment:
        made.append(Deployment(tmp_path / f"data{len(made)}", **words))
        return made[-1]

    yield make
    for deployment in made:
        deployment.stop()
        shutil.rmtree(deployment.data, ignore_errors=True)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    assert "chromium" not in ABSENT, "engine not run: chromium"
    path = next(found for name in ("chromium", "google-chrome", "chromium-browser") if (found := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield browser
        await browser.close()
