"""The search page reports each search once, and suggests what is trending."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect
from tests.web.rig import LAPTOP, ORIGIN, PHONE, Client, Opener, create_card, create_title
from tests.web.test_search import ANSWERS, assert_fits_and_passes_axe, create_screen, find, list_titles

# Longer than a query has to stand.
STANDING_MS = 2_000


class Reports:
    """Keeps the reports that a client sends."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.sent: list[dict[str, Any]] = []

    def keep(self, request: Request) -> tuple[int, Any]:
        """Answer a report."""
        self.sent.append(request.post_data_json)
        problem = {"type": "/problems/overloaded", "title": "Overloaded", "status": self.status}
        return self.status, None if self.status == 204 else problem

    @property
    def ends(self) -> list[tuple[str, str | None]]:
        """The queries that were reported, and what was opened."""
        return [(sent["query"], sent["opened"] and sent["opened"]["id"]) for sent in self.sent]

    def wait(self, page: Page, count: int) -> None:
        """Wait until reports were sent."""
        while len(self.sent) < count:
            page.wait_for_event("requestfinished", lambda request: request.url.endswith("/search/reports"))


def open_search(client: Opener, reports: Reports, query: str = "", **answers: Any) -> Client:
    """Open the search page with a clock that tests can advance."""
    known = {**ANSWERS, "/titles/tit_0": create_title("tit_0"), "POST /search/reports": reports.keep, **answers}
    opened = client(known)
    opened.page.clock.install()
    opened.open(f"/search?q={query}" if query else "/search")
    opened.page.get_by_test_id("search-field").wait_for()
    return opened


def hide(page: Page) -> None:
    """Do what a browser does when the page is left; requests of a page that is gone do not reach the rig."""
    page.evaluate("() => dispatchEvent(new PageTransitionEvent('pagehide'))")


def stand(page: Page, query: str) -> None:
    """Type a query, and wait until its results have been shown for long enough."""
    page.get_by_test_id("search-field").fill(query)
    expect(page.get_by_test_id("search-titles").locator("mark").first).to_have_text(query, ignore_case=True)
    page.clock.run_for(STANDING_MS)


def test_opened_result_is_reported_once_and_not_each_keystroke(client: Opener) -> None:
    reports = Reports()
    page = open_search(client, reports).page
    for query in ("s", "st", "str", "stra"):
        stand(page, query)
    page.get_by_test_id("title-card").first.click()
    page.get_by_test_id("title-page").wait_for()
    page.go_back()
    page.get_by_test_id("title-page").wait_for(state="detached")
    page.clock.run_for(STANDING_MS)
    page.get_by_test_id("title-card").first.click()
    page.get_by_test_id("title-page").wait_for()
    (sent,) = reports.sent
    report_id = sent.pop("report_id")
    assert (len(report_id), int(report_id, 16) > 0) == (32, True)
    assert sent == {
        "query": "stra",
        "titles": 2,
        "people": 0,
        "genres": 0,
        "title_ids": ["tit_0", "tit_1"],
        "corrected": False,
        "partial": False,
        "opened": {"kind": "title", "id": "tit_0", "position": 1},
    }


def test_abandoned_searches_are_reported_when_they_are_changed_erased_or_left(client: Opener) -> None:
    reports = Reports()
    page = open_search(client, reports).page
    stand(page, "salt")
    page.get_by_test_id("search-field").fill("sal")
    stand(page, "snow")
    page.get_by_test_id("search-clear").click()
    stand(page, "star")
    hide(page)
    hide(page)
    stand(page, "storm")
    page.locator("header a").first.click()
    page.get_by_test_id("billboard-play").wait_for()
    reports.wait(page, 4)
    assert reports.ends == [("salt", None), ("snow", None), ("star", None), ("storm", None)]


def test_people_and_genres_are_reported_and_leaving_within_the_client_is_no_second_report(client: Opener) -> None:
    reports = Reports(status=503)  # a report that fails is dropped
    page = open_search(client, reports).page
    page.get_by_test_id("search-field").fill("ada")
    page.get_by_test_id("search-person").click()
    expect(page.get_by_test_id("search-field")).to_have_value("Ada Lovelace")
    page.get_by_test_id("search-field").fill("drama")
    genre = page.get_by_test_id("search-genre")
    expect(genre).to_have_text(["Drama"])
    genre.click()
    page.wait_for_url(f"{ORIGIN}/genre/drama")
    page.go_back()
    expect(page.get_by_test_id("search-field")).to_have_value("drama")
    page.clock.run_for(STANDING_MS)
    hide(page)
    page.locator("header a").first.click()
    page.get_by_test_id("billboard-play").wait_for()
    assert reports.ends == [("ada", "per_0"), ("drama", "drama")]
    expect(page.get_by_role("alert")).to_have_count(0)


def find_with_trending(request: Request) -> dict[str, Any]:
    """Answer a query; two titles are trending, of which one is new."""
    trending = [create_card("tit_90", "Trending Tale"), create_card("tit_2", "Salt")]
    answer = find(request)
    return answer if answer["titles"] and answer["query"] else {**answer, "trending": trending}


def test_trending_titles_are_suggested_before_the_newest(client: Opener) -> None:
    reports = Reports()
    page = open_search(client, reports, **{"/search": find_with_trending}).page
    trending = page.get_by_test_id("search-trending").locator(".card-name")
    expect(trending).to_have_text(["Trending Tale", "Salt"])
    assert "Salt" not in list_titles(page)
    field = page.get_by_test_id("search-field")
    field.fill("sno")
    expect(trending).to_have_count(0)
    field.fill("qqqq")
    expect(page.get_by_test_id("search-nothing")).to_be_visible()
    expect(trending).to_have_text(["Trending Tale", "Salt"])
    assert reports.sent == []


@pytest.mark.parametrize("size", [PHONE, LAPTOP])
@pytest.mark.parametrize("path", ["/search", "/search?q=qqqq", "/search?tv"])
def test_page_with_trending_titles_fits_and_passes_axe(client: Opener, size: tuple[int, int], path: str) -> None:
    page = client({**ANSWERS, "/search": find_with_trending}, size=size).open(path)
    page.get_by_test_id("search-trending").wait_for()
    assert_fits_and_passes_axe(page)


def test_an_answer_that_is_not_complete_is_reported_as_such(client: Opener) -> None:
    def answer(request: Request) -> dict[str, Any]:
        known = find(request)
        return create_screen("qqqq", [], correction="q", partial=True) if known["query"] == "qqqq" else known

    reports = Reports()
    page = open_search(client, reports, "qqqq", **{"/search": answer}).page
    page.get_by_test_id("search-nothing").wait_for()
    page.clock.run_for(STANDING_MS)
    page.get_by_test_id("search-clear").click()
    reports.wait(page, 1)
    (sent,) = reports.sent
    assert (sent["titles"], sent["corrected"], sent["partial"], sent["opened"]) == (0, True, True, None)
