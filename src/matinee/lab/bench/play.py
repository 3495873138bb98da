"""Time to first frame in Chromium through a deployment, beside bare Shaka Player on the same segments.

Ours: from the click on *Play* on a title's page: session, manifest, licence, first segments from an edge, first frame.
Baseline: from the click on a button of a page that has loaded Shaka Player, with the manifest in a file, the keys in
the page, and the segments behind nginx. `links` measures slow links, without a baseline.
"""

from __future__ import annotations

import json
import re
import shutil
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import aiohttp
from playwright.async_api import Page, async_playwright

from matinee.lab.bench import links, nginx
from matinee.lab.bench.harness import Bench, Variant, measure_in_turns
from matinee.lab.deployment import CHROMIUM_FLAGS, deploy_film
from matinee.lab.viewer import Viewer, sign_in

GOAL = 1.5
SHAKA = Path("web/node_modules/shaka-player/dist/shaka-player.compiled.js")
EMAIL = "bench@matinee.example"
TIMEOUT_MS = 180_000  # only ends what would never end: a page loads slowly on a busy machine
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


async def measure(bench: Bench) -> None:
    """Measure; without Chromium there is no figure, without nginx no baseline."""
    chromium = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if chromium is None:
        return
    deployment, title_id = bench.stack.enter_context(
        deploy_film(bench.folder, seconds=bench.size(90, 6), size="320x180" if bench.smallest else "1920x1080")
    )
    viewer = Viewer(await bench.stack.enter_async_context(aiohttp.ClientSession()), deployment.url)
    await viewer.sign_up(EMAIL)
    playwright = await bench.stack.enter_async_context(async_playwright())
    browser = await playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
    bench.stack.push_async_callback(browser.close)
    page = await browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(TIMEOUT_MS)
    await sign_in(page, deployment.url, EMAIL)
    await page.get_by_test_id("title-card").first.wait_for()
    variants: dict[str, Variant] = {"ours": lambda _: _time_ours(page, f"{deployment.url}/title/{title_id}")}
    if nginx.is_available():
        root, bare = bench.folder / "bare", await browser.new_page()
        await _write_bare_page(viewer, deployment.data, title_id, root)
        server = bench.stack.enter_context(nginx.serve(root, bench.folder / "nginx"))
        variants["bare Shaka Player, nginx"] = lambda _: _time_bare(bare, f"http://127.0.0.1:{server.port}/index.html")
    ours, *baselines = await measure_in_turns(variants, rounds=bench.size(9, 1))
    bench.report("time to first frame", ours, "ms", baseline=next(iter(baselines), None), max_ratio=GOAL)
    await page.close()
    await links.measure(bench, browser, deployment.url, title_id)


async def _time_ours(page: Page, url: str) -> float:
    await page.goto(url)
    await page.get_by_test_id("play").first.wait_for()
    await page.wait_for_timeout(1500)
    return await _time_click(page, "[data-testid=play]")


async def _time_bare(page: Page, url: str) -> float:
    await page.goto(url)
    await page.wait_for_timeout(500)
    return await _time_click(page, "#play")


async def _time_click(page: Page, button: str) -> float:
    await page.evaluate(WATCH)
    await page.locator(button).first.click()
    time_ms: float = await page.evaluate("window.firstFrame")
    return time_ms / 1000


async def _write_bare_page(viewer: Viewer, data: Path, title_id: str, root: Path) -> None:
    """Write a page with the same segments, the manifest in a file, and the keys in the page."""
    play = await viewer.call("POST", "/playback", {"title_id": title_id, "capabilities": {}})
    manifest = await viewer.call("GET", play["dash_path"])
    key_ids = sorted({match.replace("-", "") for match in re.findall(r'default_KID="([0-9a-f-]+)"', manifest)})
    request = {"kids": [_base64url(bytes.fromhex(key_id)) for key_id in key_ids]}
    token = {"X-Licence-Token": play["licence_token"]}
    licence = await viewer.call("POST", play["licence_path"], request, headers=token)
    keys = {_hex(key["kid"]): _hex(key["k"]) for key in licence["keys"]}
    shutil.copytree(data / "objects" / "assets" / play["asset_id"], root)
    (root / "manifest.mpd").write_text(re.sub(r"<BaseURL.*?</BaseURL>", "", manifest, flags=re.DOTALL))
    (root / "index.html").write_text(BARE % json.dumps(keys))
    shutil.copy(SHAKA, root / "shaka.js")


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _hex(text: str) -> str:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
