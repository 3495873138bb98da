"""The distributed deployment on real engines: press play, master to edge, and random kills under load."""

import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser
from tests.deployment import Deployment, Viewer, create_deployment, make_film
from tests.journeys.test_press_play import EMAIL, open_title, wait_for_playback

from matinee.lab.endurance import run_on
from matinee.lab.endurance.run import START_S

pytestmark = [pytest.mark.timeout(600)]

RUN_S = 45


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment on its own engines."""
    folder = tmp_path_factory.mktemp("distributed")
    settings = {"MATINEE__GATEWAY__REQUESTS_PER_MINUTE": "1000000"}
    with create_deployment(folder / "data", settings=settings) as deployment:
        deployment.start("--profile", "distributed", limit_s=START_S)
        yield deployment


async def test_master_plays_in_a_browser_and_resumes_in_another(
    deployment: Deployment, http: aiohttp.ClientSession, chromium: Browser, tmp_path: Path
) -> None:
    deployment.ingest(make_film(tmp_path / "trial.mp4", seconds=40, rate="12"), "Trial by Engines")
    await Viewer(http, deployment.url).sign_up(EMAIL)
    page = await (await chromium.new_context(viewport={"width": 1440, "height": 900})).new_page()
    await open_title(page, deployment.url)
    await page.get_by_test_id("play").first.click()
    start = await wait_for_playback(page)
    await page.wait_for_function(
        "at => document.querySelector('video').currentTime > at + 12", arg=start, timeout=120_000
    )
    assert await page.evaluate("document.querySelector('video').mediaKeys !== null")
    await page.evaluate("document.querySelector('video').pause()")
    stopped = await page.evaluate("document.querySelector('video').currentTime")
    await page.close()

    other = await (await chromium.new_context(viewport={"width": 390, "height": 844})).new_page()
    await open_title(other, deployment.url)
    await other.get_by_test_id("play").first.click()
    assert abs(await wait_for_playback(other) - stopped) <= 2.5
    await other.close()


async def test_random_kills_lose_no_acknowledged_write(deployment: Deployment, tmp_path: Path) -> None:
    film = make_film(tmp_path / "long.mp4", seconds=420, size="320x180", rate="6")
    title_id = deployment.ingest(film, "Endurance")
    report = await run_on(deployment, title_id, seconds=RUN_S, viewers=3, every_s=6, seed=7)
    print(*report.lines(), sep="\n")
    assert len(report.kills) >= 3
    assert report.is_ok, report.lines()


def test_state_survives_a_restart_of_the_deployment(deployment: Deployment) -> None:
    """The last test, because it stops the deployment. The engines use their old ports again."""
    before = sorted(title["title_id"] for title in deployment.titles())
    assert deployment.stop() == 0
    deployment.start(limit_s=START_S)
    assert sorted(title["title_id"] for title in deployment.titles()) == before
    status = json.loads(deployment.matinee("status", "--json").stdout)
    assert {"mariadb", "cassandra", "kafka", "redis", "etcd", "s3", "opensearch"} <= {
        process["name"] for process in status["processes"]
    }
