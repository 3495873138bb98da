"""The operator console at the widths of laptops and phones, and in the language of the operator."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Request, expect
from tests.web.rig import DESKTOP, LAPTOP, PHONE, Opener, assert_nothing_is_cut_off

EDGE_ID = "edg_06f2m3qf7rvk5xw1q2zj8t4s9c"


def create_edge() -> dict[str, Any]:
    report = {
        "edge_id": EDGE_ID,
        "name": "edge-frankfurt-1",
        "region": "eu-central",
        "base_url": "https://edge.example",
        "load": 0.42,
        "open_connections": 12_345,
        "sent_bytes": 123_456_789_012,
        "hits": 999_999,
        "misses": 12_345,
        "upstream_errors": 1_234,
        "disk_used_bytes": 812_345_678_901,
        "disk_limit_bytes": 1_000_000_000_000,
    }
    return {"report": report, "health": "draining", "last_seen_at": "2026-01-01T00:00:00Z"}


def create_title(number: int) -> dict[str, Any]:
    return {
        "title_id": f"tit_{number}",
        "kind": "series" if number % 2 else "film",
        "names": {"en": "The Lighthouse Keeper's Long and Windy Winter"},
        "state": "published",
        "year": 2025,
        "maturity": 12,
        "playable": True,
        "episodes": [{"episode_id": "epi_1", "season_number": 1, "number": 1, "names": {}, "playable": True}],
        "audio_languages": ["en", "de", "fr", "ja"],
        "subtitle_languages": ["en", "de", "fr", "ja", "pl"],
    }


SERVICE = {
    "service": "recommendations",
    "instance_id": "ins_06f2m3qf7rvk5xw1q2zj8t4s9c",
    "address": "http://127.0.0.1:41234",
    "state": "draining",
    "renewed_at": "2026-01-01T00:00:00Z",
}
COUNTS = {"searches": 1_234, "unanswered": 123, "abandoned": 45, "corrected": 6}
QUERIES = [{"query": "the lighthouse keeper's long and windy winter " * n, "counts": COUNTS} for n in (1, 4)]
REPORT = {"days": 7, "total": COUNTS, "unanswered": QUERIES, "abandoned": QUERIES, "frequent": QUERIES}
STEP = {"name": "analyse", "state": "running", "done": 1, "total": 2}
JOB = {
    "job_id": "job_1",
    "state": "running",
    "file_name": "film.mov",
    "order": {"title_id": "tit_1", "episode_id": None},
    "created_at": "2026-01-01T00:00:00Z",
    "attempts": 1,
    "remaining_ms": None,
    "steps": [STEP],
    "reason": "",
    "warnings": [],
}
ANSWERS = {
    "/operator/edges": [create_edge()],
    "/operator/titles": {"items": [create_title(number) for number in range(3)], "next_cursor": None},
    "/operator/services": [SERVICE],
    "/operator/searches": REPORT,
    "/operator/jobs": {"items": [JOB], "next_cursor": None},
}


@pytest.mark.parametrize("size", [PHONE, LAPTOP, DESKTOP])
@pytest.mark.parametrize("view", ["edges", "titles", "services", "searches"])
def test_no_table_is_cut_off(client: Opener, size: tuple[int, int], view: str) -> None:
    page = client(ANSWERS, size=size).open(f"/operator/{view}")
    page.locator("tbody tr").first.wait_for()
    assert_nothing_is_cut_off(page)


def test_a_dialog_has_the_light_theme_of_the_console(client: Opener) -> None:
    page = client(ANSWERS).open("/operator/titles")
    page.get_by_role("button", name="Withdraw").first.click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert dialog.evaluate("(one) => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    page.keyboard.press("Escape")
    page.get_by_role("link", name="To the viewer's pages").click()
    page.get_by_test_id("billboard-play").wait_for()
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(20, 16, 14)"


def test_steps_and_states_are_translated(client: Opener) -> None:
    page = client(ANSWERS, language="de").open("/operator/jobs")
    expect(page.locator(".step-name")).to_have_text("Analysieren")
    page.get_by_test_id("operator-services").click()
    expect(page.locator("td .state")).to_have_text("Läuft aus")


def test_searches_are_those_of_the_chosen_days(client: Opener) -> None:
    def report(request: Request) -> dict[str, Any]:
        days = int(parse_qs(urlsplit(request.url).query)["days"][0])
        nothing = {"days": days, "total": dict.fromkeys(COUNTS, 0), "unanswered": [], "abandoned": [], "frequent": []}
        return {**REPORT, "abandoned": []} if days == 7 else nothing

    page = client({**ANSWERS, "/operator/searches": report}).open("/operator/searches")
    expect(page.get_by_test_id("searches-total")).to_contain_text("123 (10%)")
    found_nothing = page.get_by_role("table", name="Found nothing")
    expect(found_nothing.locator("tbody tr").first.locator("td")).to_have_text(
        [QUERIES[0]["query"].strip(), "123", "10%", "1234"]
    )
    expect(page.get_by_text("No such queries in this time.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert download.value.path().read_text().splitlines()[0] == "query,searches,unanswered,abandoned,corrected"
    page.get_by_role("radio", name="Today").click()
    expect(page.get_by_text("There were no searches in this time.")).to_be_visible()
