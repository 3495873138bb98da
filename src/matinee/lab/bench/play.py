"""Time to first frame in Chromium through a deployment, beside bare Shaka Player on the same segments.

Ours: from the click on *Play* on a title's page: session, manifest, licence, first segments from an edge, first frame.
Baseline: from the click on a button of a page that has loaded Shaka Player, with the manifest in a file, the keys in
the page, and the segments behind nginx.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, Page, async_playwright

from matinee.lab.bench import nginx
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.start import PASSWORD, sign_up
from matinee.lab.bench.timing import Bench
from matinee.lab.deployment import CHROMIUM_FLAGS, Deployment, make_film

AREA = "play"
GOAL = 1.5
SHAKA = Path("web/node_modules/shaka-player/dist/shaka-player.compiled.js")
BROWSERS = ("chromium", "google-chrome", "chromium-browser")

# From the click (captured before any handler runs) to the first frame handed to the compositor.
WATCH = """() => {
  window.firstFrame = new Promise(done => {
    addEventListener('click', () => { window.clickedAt ??= performance.now(); }, {capture: true});
    const watch = () => {
      const video = document.querySelector('video');
      if (!video) return requestAnimationFrame(watch);
      video.requestVideoFrameCallback(() => done(performance.now() - window.clickedAt));
    };
    watch();
  });
}"""

BARE = """<!doctype html><title>bare</title><button id="play">play</button><div id="player"></div>
<script src="shaka.js"></script><script>
shaka.polyfill.installAll();
document.querySelector('#play').onclick = async () => {
  const video = document.createElement('video');
  document.querySelector('#player').append(video);
  const player = new shaka.Player();
  await player.attach(video);
  player.configure({drm: {clearKeys: %s}});
  await player.load('manifest.mpd');
  await video.play();
};
</script>"""


def measure(bench: Bench) -> list[Figure]:
    """Measure; without Chromium there is no figure, without nginx no baseline."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        return []
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as temporary:
        folder = Path(temporary)
        deployment = Deployment(folder / "data")
        deployment.start()
        try:
            film = make_film(folder / "film.mp4", seconds=bench.size(30, 6), size="1280x720")
            title_id = deployment.ingest(film, "Bench")["title_id"]
            return asyncio.run(_measure(deployment, title_id, folder, browser, bench.size(9, 1)))
        finally:
            deployment.stop()


async def _measure(deployment: Deployment, title_id: str, folder: Path, chromium: str, rounds: int) -> list[Figure]:
    root = folder / "bare"
    async with aiohttp.ClientSession() as session:
        await _write_bare_page(session, deployment, title_id, root)
    ours: list[float] = []
    theirs: list[float] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        page = await _sign_in(browser, deployment.url)
        if not nginx.is_available():
            ours = [await _time_ours(page, deployment.url, title_id) for _ in range(rounds)]
            return [make_figure(AREA, "time to first frame", statistics.median(ours), "ms")]
        with nginx.serve(root, folder / "nginx") as server:
            bare = await browser.new_page()
            for _ in range(rounds + 1):
                ours.append(await _time_ours(page, deployment.url, title_id))
                theirs.append(await _time_bare(bare, f"http://127.0.0.1:{server.port}"))
        await browser.close()
    value, baseline = statistics.median(ours[1:]), statistics.median(theirs[1:])
    name, baseline_name = "time to first frame", "bare Shaka Player, nginx"
    return [make_figure(AREA, name, value, "ms", baseline=baseline, baseline_name=baseline_name, goal=GOAL)]


async def _sign_in(browser: Browser, url: str) -> Page:
    page = await (await browser.new_context(viewport={"width": 1280, "height": 720})).new_page()
    await page.goto(url)
    await page.get_by_test_id("sign-in-email").fill("bench@matinee.example")
    await page.get_by_test_id("sign-in-password").fill(PASSWORD)
    await page.get_by_test_id("sign-in-submit").click()
    await page.get_by_test_id("profile-card").first.click()
    await page.get_by_test_id("title-card").first.wait_for()
    return page


async def _time_ours(page: Page, url: str, title_id: str) -> float:
    await page.goto(f"{url}/title/{title_id}")
    play = page.get_by_test_id("play").first
    await play.wait_for()
    await page.wait_for_timeout(1500)
    return await _time_click(page, "[data-testid=play]")


async def _time_bare(page: Page, url: str) -> float:
    await page.goto(f"{url}/index.html")
    await page.wait_for_timeout(500)
    return await _time_click(page, "#play")


async def _time_click(page: Page, button: str) -> float:
    await page.evaluate(WATCH)
    await page.locator(button).first.click()
    time_ms: float = await page.evaluate("window.firstFrame")
    return time_ms


async def _write_bare_page(session: aiohttp.ClientSession, deployment: Deployment, title_id: str, root: Path) -> None:
    """Write a page with the same segments, the manifest in a file, and the keys in the page."""
    headers = await sign_up(session, deployment.url)
    request = {"title_id": title_id, "capabilities": {}}
    play = await _json(session, "POST", f"{deployment.url}/api/v1/playback", request, headers)
    async with session.get(deployment.url + play["dash_path"]) as response:
        manifest = await response.text()
    key_ids = sorted({match.replace("-", "") for match in re.findall(r'default_KID="([0-9a-f-]+)"', manifest)})
    keys = await _keys(session, deployment.url + play["licence_path"], key_ids, headers, play["licence_token"])
    shutil.copytree(deployment.data / "objects" / "assets" / play["asset_id"], root)
    bare = re.sub(r"<BaseURL.*?</BaseURL>", "", manifest, flags=re.DOTALL)
    (root / "manifest.mpd").write_text(bare)
    (root / "index.html").write_text(BARE % json.dumps(keys))
    shutil.copy(SHAKA, root / "shaka.js")


async def _keys(
    session: aiohttp.ClientSession, url: str, key_ids: list[str], headers: dict[str, str], token: str
) -> dict[str, str]:
    request = {"kids": [_base64url(bytes.fromhex(key_id)) for key_id in key_ids]}
    licence = await _json(session, "POST", url, request, {**headers, "X-Licence-Token": token})
    return {_hex(key["kid"]): _hex(key["k"]) for key in licence["keys"]}


async def _json(session: aiohttp.ClientSession, method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
    async with session.request(method, url, json=body, headers=headers) as response:
        response.raise_for_status()
        return await response.json()


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _hex(text: str) -> str:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
