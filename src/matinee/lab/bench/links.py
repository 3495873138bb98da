"""Slow links, a part of the area `play`: the first frame, and what a dip of the rate costs.

All connections of the browser share one link. Each run comes from a network of its own, of which nothing is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
import msgspec
from playwright.async_api import Browser, Page

from matinee.lab.bench.figures import Samples
from matinee.lab.bench.harness import Bench
from matinee.lab.link import Link
from matinee.lab.viewer import Viewer, sign_in

TIMEOUT_MS = 180_000  # only ends what would never end: a page loads slowly on a busy machine
FAST_BPS = 100e6
# Bits per second, and the seconds of a round trip.
LINKS = {"100 Mbit/s": (100e6, 0.02), "8 Mbit/s": (8e6, 0.04), "1.5 Mbit/s": (1.5e6, 0.08), "0.6 Mbit/s": (0.6e6, 0.1)}
FIRST_FRAME_GOALS_MS = {"0.6 Mbit/s": 6_000}
# Dips of the second link to the last one: seconds after the first frame.
DIPS_S = {"at the first frame": 0.0, "at 3 s": 3.0}
DIP_S = 20.0
WATCHED_AFTER_DIP_S = 25.0
_numbers = count(1)

# From the click (captured before any handler runs): the first frame, the longest freeze since, and the heights.
WATCH = """() => {
  const seen = window.seen = {clickedAt: 0, firstFrameMs: null, freezeMs: 0, heights: [], error: null};
  let position = 0, movedAt = 0;
  addEventListener('click', () => { seen.clickedAt ||= performance.now(); }, {capture: true});
  const addHeight = ({videoHeight}) => videoHeight && seen.heights.at(-1)?.[1] !== videoHeight
    && seen.heights.push([performance.now() - seen.clickedAt, videoHeight]);
  setInterval(() => {
    seen.error ??= document.querySelector('[data-testid=player-error] h1')?.textContent;
    const video = document.querySelector('video');
    if (!video) return;
    const onFrame = () => { seen.firstFrameMs = performance.now() - seen.clickedAt; };
    if (!video.watched) video.requestVideoFrameCallback(onFrame);
    video.watched = true;
    addHeight(video);
    if (seen.firstFrameMs === null || video.ended) return;
    if (video.currentTime !== position) [position, movedAt] = [video.currentTime, performance.now()];
    else seen.freezeMs = Math.max(seen.freezeMs, performance.now() - movedAt);
  }, 50);
}"""
LOADED = """() => performance.now() > 3000
  && performance.now() - Math.max(0, ...performance.getEntriesByType('resource').map(one => one.responseEnd)) > 1000"""


class Watched(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a viewer saw: times in milliseconds since the click, heights with the times since which they are shown."""

    first_frame_ms: float | None
    freeze_ms: float
    heights: list[tuple[float, int]]
    error: str | None


class Dip(msgspec.Struct, frozen=True, kw_only=True):
    """What a dip cost: the longest freeze, and the time from its end until the best height is shown again."""

    freeze_s: float
    recovery_s: float


async def measure(bench: Bench, browser: Browser, url: str, title_id: str) -> None:
    """Measure on a deployment's film, which is longer than a dip and what follows it."""
    runs = bench.size(3, 1)
    links = dict(list(LINKS.items())[: bench.size(len(LINKS), 1)])
    for name, (rate_bps, round_trip_s) in links.items():
        values = [await time_first_frame(browser, url, title_id, rate_bps, round_trip_s) for _ in range(runs)]
        goal_ms = FIRST_FRAME_GOALS_MS.get(name)
        bench.report(f"first frame, {name}", Samples(values, "ours"), "ms", max_value=goal_ms)
    for name, after_s in () if bench.smallest else DIPS_S.items():
        dips = [await measure_dip(browser, url, title_id, after_s) for _ in range(runs)]
        bench.report(f"freeze, dip {name}", Samples([dip.freeze_s for dip in dips], "ours"), "ms", max_value=2_000)
        recoveries = Samples([dip.recovery_s for dip in dips], "ours")
        bench.report(f"best picture after a dip {name}", recoveries, "ms", max_value=20_000)


async def time_first_frame(browser: Browser, url: str, title_id: str, rate_bps: float, round_trip_s: float) -> float:
    """Return the seconds from the click on *Play* to the first frame, infinite if there is an error."""
    async with open_title(browser, url, title_id) as (page, link):
        link.rate_bps, link.round_trip_s = rate_bps, round_trip_s
        watched = await _play(page)
        return float("inf") if watched.first_frame_ms is None else watched.first_frame_ms / 1000


async def measure_dip(browser: Browser, url: str, title_id: str, after_s: float) -> Dip:
    """Return what a dip costs that begins so many seconds after the first frame."""
    async with open_title(browser, url, title_id) as (page, link):
        link.rate_bps, link.round_trip_s = LINKS["8 Mbit/s"]
        await _play(page)
        await page.wait_for_timeout(after_s * 1000)
        link.rate_bps, link.round_trip_s = LINKS["0.6 Mbit/s"]
        await page.wait_for_timeout(DIP_S * 1000)
        link.rate_bps, link.round_trip_s = LINKS["8 Mbit/s"]
        ended_ms: float = await page.evaluate("performance.now() - window.seen.clickedAt")
        await page.wait_for_timeout(WATCHED_AFTER_DIP_S * 1000)
        watched = await read_watched(page)
        return Dip(freeze_s=watched.freeze_ms / 1000, recovery_s=find_recovery_ms(watched, ended_ms) / 1000)


def find_recovery_ms(watched: Watched, since_ms: float) -> float:
    """Return the time until the best height is shown for good, infinite if it is not."""
    at_ms, height = watched.heights[-1]
    is_best = height == max(height for _, height in watched.heights)
    return max(0.0, at_ms - since_ms) if is_best else float("inf")


@asynccontextmanager
async def open_title(browser: Browser, url: str, title_id: str) -> AsyncIterator[tuple[Page, Link]]:
    """Open a title's page with a new account, over a fast link of a new network."""
    number = next(_numbers)
    email = f"bench-{number}@matinee.example"
    async with aiohttp.ClientSession() as http:
        await Viewer(http, url).sign_up(email)
    async with Link(rate_bps=FAST_BPS, client_ip=f"127.0.{number}.1") as link:
        context = await browser.new_context(
            viewport={"width": 1920, "height": 1080}, proxy={"server": link.url, "bypass": "<-loopback>"}
        )
        try:
            page = await context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            await sign_in(page, url, email)
            await page.get_by_test_id("title-card").first.wait_for()
            await page.goto(f"{url}/title/{title_id}")
            await page.get_by_test_id("play").first.wait_for()
            await page.wait_for_function(LOADED)
            yield page, link
        finally:
            await context.close()


async def _play(page: Page) -> Watched:
    """Press play and wait for the first frame or an error."""
    await page.evaluate(WATCH)
    await page.get_by_test_id("play").first.click()
    await page.wait_for_function("() => window.seen.firstFrameMs !== null || window.seen.error")
    return await read_watched(page)


async def read_watched(page: Page) -> Watched:
    """Return what the viewer saw."""
    return msgspec.convert(await page.evaluate("window.seen"), Watched)
