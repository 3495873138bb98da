"""The distributed deployment: press play and master to edge on real engines, and processes killed at random under load."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser
from tests.deployment import Deployment, Viewer, make_film
from tests.journeys.test_press_play import EMAIL, open_title, playing_at

from matinee.lab.endurance import endure_on
from matinee.lab.endurance.run import START_S

pytestmark = [pytest.mark.timeout(600)]

ENDURED_S = 60


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment on engines of its own."""
    folder = tmp_path_factory.mktemp("distributed")
    made = Deployment(folder / "data", settings={"MATINEE__GATEWAY__REQUESTS_PER_MINUTE": "1000000"})
    made.start("--profile", "distributed", limit_s=START_S)
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


async def test_a_master_becomes_a_picture_in_a_browser_and_resumes_in_another(
    deployment: Deployment, http: aiohttp.ClientSession, chromium: Browser, tmp_path: Path
) -> None:
    deployment.ingest(make_film(tmp_path / "trial.mp4", seconds=40), "Trial by Engines")
    await Viewer(http, deployment.url).sign_up(EMAIL)
    page = await (await chromium.new_context(viewport={"width": 1440, "height": 900})).new_page()
    await open_title(page, deployment.url)
    await page.get_by_test_id("play").first.click()
    start = await playing_at(page)
    await page.wait_for_function("at => document.querySelector('video').currentTime > at + 12", arg=start)
    assert await page.evaluate("document.querySelector('video').mediaKeys !== null")
    await page.evaluate("document.querySelector('video').pause()")
    stopped = await page.evaluate("document.querySelector('video').currentTime")
    await page.close()

    other = await (await chromium.new_context(viewport={"width": 390, "height": 844})).new_page()
    await open_title(other, deployment.url)
    await other.get_by_test_id("play").first.click()
    assert abs(await playing_at(other) - stopped) <= 2.5
    await other.close()


async def test_processes_killed_at_random_lose_nothing_that_was_acknowledged(
    deployment: Deployment, tmp_path: Path
) -> None:
    long = make_film(tmp_path / "long.mp4", seconds=420, size="320x180", rate="6")
    title_id = deployment.ingest(long, "Endurance")["title_id"]
    report = await endure_on(deployment, title_id, seconds=ENDURED_S, viewers=6, every_s=8, seed=7)
    print(*report.lines(), sep="\n")
    assert len(report.killed) >= 3
    assert report.good, report.lines()


def test_state_is_in_the_engines_and_survives_the_whole_house(deployment: Deployment) -> None:
    """Last, because it stops the deployment: what comes back finds everything, the engines on their old ports."""
    before = sorted(title["title_id"] for title in deployment.titles())
    assert deployment.stop() == 0
    deployment.start(limit_s=START_S)
    assert sorted(title["title_id"] for title in deployment.titles()) == before
    status = json.loads(deployment.matinee("status", "--json").stdout)
    assert {"mariadb", "cassandra", "kafka", "redis", "etcd", "s3"} <= {seen["name"] for seen in status["processes"]}
