"""Press play in Chromium through a deployment: in one process group, and split over several."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect
from tests.deployment import Deployment, Viewer, eventually, make_film

from matinee.lab.viewer import sign_in

pytestmark = [pytest.mark.timeout(600)]

ONE = "gateway,playback,viewing,steering,encoding,catalogue,identity,licensing,events"
SPLIT = "gateway;playback,viewing;identity,licensing;catalogue,events,steering,search;encoding"
EMAIL = "ada@example.org"
SHORT_TOKENS = {"MATINEE__IDENTITY__ACCESS_TOKEN_S": "10", "MATINEE__PLAYBACK__HEARTBEAT_MS": "1000"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36",
}


@pytest.mark.parametrize("groups", [ONE, SPLIT], ids=["one group", "split"])
async def test_sign_in_play_pause_resume_on_a_phone_and_outlive_the_token_there(
    make_deployment: Callable[..., Deployment],
    http: aiohttp.ClientSession,
    chromium: Browser,
    tmp_path: Path,
    groups: str,
) -> None:
    deployment = make_deployment(groups=groups, settings=SHORT_TOKENS)
    deployment.start()
    title_id = deployment.ingest(make_film(tmp_path / "trial.mp4", seconds=40, rate="12"), "Trial by Light")
    viewer = Viewer(http, deployment.url)
    await viewer.sign_up(EMAIL)

    page = await (await chromium.new_context(viewport={"width": 1440, "height": 900})).new_page()
    licences: list[str] = []
    page.on("request", lambda request: licences.append(request.url) if "/licences/" in request.url else None)
    await open_title(page, deployment.url)
    await page.get_by_test_id("play").first.click()
    start = await wait_for_playback(page)
    await page.wait_for_function(
        "at => document.querySelector('video').currentTime > at + 12", arg=start, timeout=120_000
    )
    quality = await page.evaluate(
        """() => { const v = document.querySelector('video'); const q = v.getVideoPlaybackQuality();
        return {frames: q.totalVideoFrames, encrypted: v.mediaKeys !== null, height: v.videoHeight}; }"""
    )
    assert quality["frames"] > 100
    assert quality["encrypted"]
    assert quality["height"] > 0
    assert licences == [f"{deployment.url}/api/v1/licences/clearkey"]
    await page.evaluate("document.querySelector('video').pause()")
    stopped = await page.evaluate("document.querySelector('video').currentTime")
    await page.close()

    phone = await (await chromium.new_context(**PHONE)).new_page()
    refreshed: list[int] = []
    phone.on("response", lambda answer: refreshed.append(answer.status) if "/auth/refresh" in answer.url else None)
    await open_title(phone, deployment.url.replace("127.0.0.1", "localhost"))
    await phone.get_by_test_id("play").first.click()
    resumed = await wait_for_playback(phone)
    assert abs(resumed - stopped) <= 2.5, (resumed, stopped)
    refreshed.clear()
    await eventually(lambda: refreshed)
    assert await wait_for_playback(phone) > resumed
    await phone.reload()
    await wait_for_playback(phone)
    assert set(refreshed) == {200}
    await check_signing_out_stops_playback(deployment, viewer, title_id)


async def check_signing_out_stops_playback(deployment: Deployment, viewer: Viewer, title_id: str) -> None:
    await viewer.sign_in(EMAIL)
    play = await viewer.call("POST", "/playback", {"title_id": title_id, "capabilities": {}})
    await viewer.call("GET", play["dash_path"])
    ended = deployment.matinee("accounts", "sign-out", EMAIL)
    assert re.fullmatch(r"[3-9] sign-ins ended\n", ended.stdout), ended
    status, problem = await viewer.request("POST", "/playback", {"title_id": title_id, "capabilities": {}})
    assert status == 401, problem

    async def is_ended() -> bool:
        status, _ = await viewer.request("GET", play["dash_path"])
        assert status in {200, 404}
        return status == 404

    await eventually(is_ended)
    unknown = deployment.matinee("accounts", "sign-out", "nobody@example.org")
    assert (unknown.returncode, unknown.stdout, unknown.stderr.count("\n")) == (1, "", 1)


async def open_title(page: Page, url: str) -> None:
    """Sign in, choose the profile, open the film's page from home."""
    await sign_in(page, url, EMAIL)
    card = page.get_by_test_id("title-card").first
    await expect(card).to_be_visible()
    await card.click()
    await expect(page).to_have_title(re.compile(r"^Trial by \w+ · Matinee$"))


async def wait_for_playback(page: Page) -> float:
    """Wait until frames are displayed, and return the position."""
    await page.wait_for_selector("video", timeout=90_000)
    await page.wait_for_function(
        """() => { const v = document.querySelector('video');
        return !v.paused && v.getVideoPlaybackQuality().totalVideoFrames > 2; }""",
        timeout=90_000,
    )
    position_s: float = await page.evaluate("document.querySelector('video').currentTime")
    return position_s


async def test_profiles_have_separate_positions_and_history(
    make_deployment: Callable[..., Deployment], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    deployment = make_deployment()
    deployment.start()
    title = deployment.ingest(make_film(tmp_path / "a.mp4", seconds=40, size="160x90", rate="6"), "Alone")
    viewer = Viewer(http, deployment.url)
    await viewer.sign_up(EMAIL)
    first = viewer.profile_id
    request = {"title_id": title, "capabilities": {}}
    play = await viewer.call("POST", "/playback", request)
    await viewer.call("POST", f"/playback/{play['session_id']}/heartbeat", make_heartbeat(20_000))

    second = (await viewer.call("POST", "/profiles", {"name": "Bo"}))["profile_id"]
    await viewer.choose(second)
    assert (await viewer.call("POST", "/playback", request))["resume_ms"] == 0
    problem = await viewer.call("POST", f"/playback/{play['session_id']}/heartbeat", make_heartbeat(1), status=404)
    assert problem["type"] == "/problems/session-not-found"
    assert (await viewer.call("GET", "/history"))["entries"] == []

    await viewer.choose(first)
    again = await viewer.call("POST", "/playback", request)
    assert 15_000 <= again["resume_ms"] <= 20_000
    home = await eventually(lambda: find_continue_watching(viewer))
    assert [card["title_id"] for card in home["cards"]] == [title]


async def find_continue_watching(viewer: Viewer) -> Any:
    rows = (await viewer.call("GET", "/home"))["rows"]
    return next((row for row in rows if row["kind"] == "continue-watching"), None)


def make_heartbeat(position_ms: int) -> dict[str, Any]:
    return {"position_ms": position_ms, "state": "playing", "at": datetime.now(UTC).isoformat()}
