"""The player on slow links, with edges that fail, and offline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect
from tests.web.rig import Client, Opener
from tests.web.slow import (
    HIGH_HEIGHT,
    LOW_HEIGHT,
    Edge,
    create_manifest,
    create_session,
    make_ladder,
    open_link,
    serve_edge,
)

from matinee.lab.link import Link

LOW, HIGH = "0", "1"
SLOW_BPS, FAST_BPS = 0.6e6, 50e6
# It only ends tests that would never end.
LIMIT_MS = 90_000
RENEW = "POST /playback/pls_1/renew"


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ladder")
    make_ladder(folder)
    return folder


@pytest.fixture
def edges(ladder: Path) -> Iterator[list[Edge]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serve_edge(edge_id, ladder)) for edge_id in ("edg_a", "edg_b")]


Watch = Callable[..., tuple[Client, Link]]


@pytest.fixture
def watch(client: Opener, ladder: Path, edges: list[Edge], tmp_path: Path) -> Iterator[Watch]:
    """Open the player on a link of a rate; `start_bps` is what is known of the network."""
    with ExitStack() as stack:

        def open_player(rate_bps: float, *, start_bps: int = 0, **answers: Any) -> tuple[Client, Link]:
            link = stack.enter_context(open_link(rate_bps))
            create_manifest(ladder, edges[0], tmp_path)
            session = create_session(edges, start_bps)
            opened = client({"POST /playback": session, **answers}, film=tmp_path, proxy=link.url)
            opened.page.context.route("http://127.0.0.1:*/**", lambda route: route.continue_())
            opened.page.set_default_timeout(LIMIT_MS)
            opened.open("/watch/tit_1")
            return opened, link

        yield open_player


def wait_for_picture(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('video')?.currentTime > 0.2")
    assert not page.get_by_test_id("player-error").count()


def test_a_slow_link_starts_with_the_lowest_quality(watch: Watch, edges: list[Edge]) -> None:
    opened, _ = watch(SLOW_BPS)
    wait_for_picture(opened.page)
    assert set(edges[0].count_qualities()) == {LOW}


def test_a_segment_that_would_come_too_late_is_replaced_by_a_smaller_one(watch: Watch, edges: list[Edge]) -> None:
    opened, _ = watch(SLOW_BPS, start_bps=5_000_000)
    wait_for_picture(opened.page)
    assert edges[0].count_qualities()[:2] == [HIGH, LOW]
    assert opened.page.evaluate("document.querySelector('video').videoHeight") == LOW_HEIGHT


def test_the_buffer_is_loaded_again_in_full_quality_when_the_link_recovers(watch: Watch) -> None:
    opened, link = watch(1.4e6, start_bps=900_000)
    wait_for_picture(opened.page)
    ahead = "video.buffered.length && video.buffered.end(video.buffered.length - 1)"
    opened.page.wait_for_function(
        f"() => {{ const video = document.querySelector('video'); return {ahead} > video.currentTime + 16; }}"
    )
    end_s: float = opened.page.evaluate(f"() => {{ const video = document.querySelector('video'); return {ahead}; }}")
    assert opened.page.evaluate("document.querySelector('video').videoHeight") == LOW_HEIGHT
    link.rate_bps = FAST_BPS
    opened.page.wait_for_function(f"() => document.querySelector('video').videoHeight === {HIGH_HEIGHT}")
    assert opened.page.evaluate("document.querySelector('video').currentTime") < end_s - 4


def test_a_failed_edge_is_not_tried_twice_and_is_reported(watch: Watch, edges: list[Edge]) -> None:
    edges[0].fails = True
    reports: list[Any] = []

    def renew(request: Request) -> Any:
        reports.append(json.loads(request.post_data or "")["failed"])
        return {"deliveries": [edge.delivery for edge in edges], "expires_at": "2999-01-01T00:00:00Z"}

    opened, _ = watch(FAST_BPS, **{RENEW: renew})
    wait_for_picture(opened.page)
    assert len(edges[0].requests) == len(set(edges[0].requests))
    assert reports == [["edg_a"]]


def test_a_message_says_offline_and_renewals_back_off(watch: Watch) -> None:
    opened, link = watch(2.5e6, start_bps=2_000_000)
    page = opened.page
    wait_for_picture(page)
    opened.offline = True
    page.context.set_offline(True)
    expect(page.get_by_test_id("player-outage")).to_contain_text("You are offline")
    opened.requests.clear()
    first_s = time.monotonic()
    while opened.requests.count(RENEW) < 3:
        page.wait_for_timeout(50)
    # The waiting times are at least 1 s and 2 s; they were none.
    assert time.monotonic() - first_s > 2.5
    opened.offline = False
    page.context.set_offline(False)
    link.rate_bps = FAST_BPS
    expect(page.get_by_test_id("player-outage")).to_have_count(0)
    page.wait_for_function(
        "() => { const { buffered } = document.querySelector('video'); return buffered.end(buffered.length - 1) > 20; }"
    )
    assert not page.get_by_test_id("player-error").count()
