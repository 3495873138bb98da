"""The search page: as one types, by keys, on a television, and what is left when nothing is found."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect
from tests.web.rig import DESKTOP, DIST, LAPTOP, ORIGIN, PHONE, Opener, create_card, create_title

NAMES = ("Stranger Tides", "The Strange Sea", "Salt", "Spider Man", "Snow", "Silence", "Star", "Storm")
AXE = DIST.parent / "node_modules/axe-core/axe.min.js"


def create_found(number: int, name: str, **fields: Any) -> dict[str, Any]:
    """Return a title that was found by its beginning."""
    numbers = {"episode_id": None, "season_number": None, "episode_number": None}
    card = create_card(f"tit_{number}", name)
    return {"card": card, "name": name, "highlights": [], "match": "prefix", **numbers, **fields}


def create_screen(query: str, titles: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Return a search page."""
    common = {"people": [], "genres": [], "correction": None, "partial": False, "trending": [], "initials": []}
    return {"query": query, "titles": titles, **common, **fields}


def find(request: Request) -> dict[str, Any]:
    """Answer a query: titles that contain it, one person and one genre by their beginning."""
    query = parse_qs(urlsplit(request.url).query).get("q", [""])[0]
    genres = [{"genre_id": name.lower(), "name": name, "highlights": []} for name in ("Drama", "Comedy", "Science")]
    if not query:
        found = [create_found(n, name, match=None) for n, name in enumerate(NAMES)]
        return create_screen("", found, genres=genres, initials=[*INITIALS])
    found = []
    for number, name in enumerate(NAMES):
        start = name.lower().find(query.lower())
        if start >= 0:
            span = {"start": start, "end": start + len(query)}
            found.append(create_found(number, name, highlights=[span]))
    span = {"start": 0, "end": len(query)}
    people = [
        {"person_id": f"per_{number}", "name": name, "highlights": [span], "titles": 2}
        for number, name in enumerate(PEOPLE)
        if name.lower().startswith(query.lower())
    ]
    return create_screen(query, found, people=people, genres=[g for g in genres if query.lower() in g["name"].lower()])


PEOPLE = ("Ada Lovelace", *(f"Stefania Sommersdottir the {number}th" for number in range(9)))
INITIALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ#"


def browse(request: Request) -> dict[str, Any]:
    """Answer with two pages of titles for each initial, but none for Q."""
    query = parse_qs(urlsplit(request.url).query)
    initial, page = query["initial"][0], int(query.get("cursor", ["0"])[0])
    count = 0 if initial == "Q" else 40
    cards = [create_card(f"tit_{initial}{page}{n}", f"{initial} {page} {n}") for n in range(count)]
    next_cursor = "1" if count and page == 0 else None
    return {"initial": initial, "cards": cards, "initials": [*INITIALS], "next_cursor": next_cursor}


ANSWERS: dict[str, Any] = {"/search": find, "/browse": browse}


def list_titles(page: Page) -> list[str]:
    return page.get_by_test_id("search-titles").locator(".card-name").all_inner_texts()


def get_focused(page: Page) -> str:
    return str(page.evaluate("() => document.activeElement.dataset.focusId ?? document.activeElement.tagName"))


def test_slash_leads_to_the_field_and_results_appear_while_typing(client: Opener) -> None:
    opened = client(ANSWERS)
    page = opened.open("/")
    page.get_by_test_id("billboard-play").wait_for()
    page.keyboard.press("/")
    field = page.get_by_test_id("search-field")
    expect(field).to_be_focused()
    expect(page.get_by_test_id("search-genre")).to_have_count(3)
    page.keyboard.type("stra", delay=20)
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Stra", "Stra"])
    assert list_titles(page) == ["Stranger Tides", "The Strange Sea"]
    expect(page.get_by_test_id("search-status")).to_have_text("2 titles found for “stra”")
    page.wait_for_url(f"{ORIGIN}/search?q=stra")
    page.keyboard.type("/")
    expect(field).to_have_value("stra/")
    page.go_back()
    expect(page.get_by_test_id("billboard-play")).to_be_visible()


def test_late_answer_to_an_earlier_keystroke_is_dropped(client: Opener) -> None:
    opened = client(ANSWERS)
    page = opened.open("/search")
    page.get_by_test_id("search-titles").wait_for()
    # In the page, so that the answer is not lost with the aborted request.
    page.evaluate(
        """() => {
          const real = window.fetch;
          window.fetch = async (input, init) => {
            const answer = await real(input, { ...init, signal: undefined });
            if (String(input).endsWith("q=s")) await new Promise((done) => setTimeout(done, 600));
            return answer;
          };
        }"""
    )
    page.keyboard.type("s")
    page.wait_for_timeout(200)
    page.keyboard.type("alt")
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Salt"])
    page.wait_for_timeout(700)
    assert list_titles(page) == ["Salt"]


def test_earlier_results_stay_while_the_next_ones_are_fetched(client: Opener) -> None:
    opened = client(ANSWERS)
    held: list[Route] = []
    opened.page.context.route("**/search?q=salt", lambda route: held.append(route))
    page = opened.open("/search?q=s")
    page.get_by_test_id("search-titles").wait_for()
    before = list_titles(page)
    with page.expect_request("**/search?q=salt"):
        page.get_by_test_id("search-field").fill("salt")
    expect(page.locator(".search-spinner")).to_be_visible()
    assert list_titles(page) == before
    for route in held:
        opened.respond(route, route.request)
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Salt"])
    expect(page.locator(".search-spinner")).to_have_count(0)


def test_address_keeps_the_query_through_a_title_and_back(client: Opener) -> None:
    cast = [{"name": "Ada Lovelace", "role": "cast", "character": "Ada"}]
    page = client({**ANSWERS, "/titles/tit_2": {**create_title("tit_2"), "credits": cast}}).open("/search?q=salt")
    page.get_by_test_id("title-card").click()
    page.get_by_test_id("person").click()
    page.wait_for_url(f"{ORIGIN}/search?q=Ada+Lovelace")
    expect(page.get_by_test_id("search-field")).to_have_value("Ada Lovelace")
    expect(page.get_by_test_id("search-person")).to_contain_text("2 titles")
    page.go_back()
    expect(page.get_by_test_id("title-page")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("search-field")).to_have_value("salt")
    expect(page.get_by_test_id("search-titles").locator(".card-name")).to_have_text(["Salt"])
    page.reload()
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Salt"])


def test_recent_searches_are_of_the_profile_and_can_be_erased(client: Opener) -> None:
    answers = {**ANSWERS, "/titles/tit_2": create_title("tit_2")}
    page = client(answers).open("/search")
    field = page.get_by_test_id("search-field")
    for query in ("salt", "snow", "star"):
        field.fill(query)
        field.press("Enter")
    page.get_by_test_id("search-clear").click()
    expect(field).to_be_focused()
    recent = page.get_by_test_id("recent-search")
    expect(recent).to_have_text(["star", "snow", "salt"])
    page.get_by_test_id("recent-remove").nth(1).click()
    expect(recent).to_have_text(["star", "salt"])
    recent.nth(1).click()
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Salt"])
    page.goto(f"{ORIGIN}/search")
    expect(recent).to_have_text(["star", "salt"])
    page.get_by_test_id("recent-clear").click()
    expect(recent).to_have_count(0)
    assert page.evaluate("() => Object.keys(localStorage).filter((key) => key.includes('searches'))") == []


def test_nothing_found_offers_what_there_is(client: Opener) -> None:
    page = client(ANSWERS).open("/search?q=qqqq")
    expect(page.get_by_test_id("search-nothing")).to_contain_text("Nothing found for “qqqq”")
    expect(page.get_by_test_id("search-genre")).to_have_count(3)
    assert len(list_titles(page)) == len(NAMES)
    expect(page.get_by_test_id("search-status")).to_have_text("Nothing found for “qqqq”")
    page.get_by_test_id("search-field").fill("come")
    expect(page.get_by_test_id("search-genre")).to_have_text(["Comedy"])
    expect(page.get_by_test_id("search-nothing")).to_have_count(0)
    assert len(list_titles(page)) == len(NAMES)


def test_correction_and_partial_answer_are_shown(client: Opener) -> None:
    def correct(request: Request) -> dict[str, Any]:
        answer = find(request)
        if answer["query"] != "stanger":
            return answer
        return create_screen("stanger", [create_found(0, "Stranger Tides")], correction="stranger", partial=True)

    page = client({"/search": correct}).open("/search?q=stanger")
    expect(page.get_by_test_id("search-correction")).to_contain_text("Showing results for stranger")
    expect(page.get_by_test_id("search-partial")).to_be_visible()
    page.get_by_test_id("search-correction").get_by_role("button").click()
    expect(page.get_by_test_id("search-field")).to_have_value("stranger")
    expect(page.get_by_test_id("search-correction")).to_have_count(0)


def test_failure_hides_earlier_results_and_can_be_retried(client: Opener) -> None:
    opened = client(ANSWERS)
    page = opened.open("/search?q=sal")
    page.get_by_test_id("search-titles").wait_for()
    opened.offline = True
    page.get_by_test_id("search-field").fill("sno")
    expect(page.get_by_role("alert")).to_be_visible()
    assert list_titles(page) == []
    opened.offline = False
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Sno"])
    expect(page.get_by_role("alert")).to_have_count(0)


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key if key == "Enter" else f"Arrow{key}")


def wait_for_focus(page: Page, focus_id: str) -> None:
    page.wait_for_function("(wanted) => document.activeElement?.dataset.focusId === wanted", arg=focus_id)


def test_television_is_used_by_arrow_keys(client: Opener) -> None:
    page = client({**ANSWERS, "/titles/tit_2": create_title("tit_2")}, size=DESKTOP).open("/?tv")
    wait_for_focus_on_billboard = "() => document.activeElement?.dataset.testid === 'billboard-play'"
    page.wait_for_function(wait_for_focus_on_billboard)
    press(page, "Up")
    for _ in range(4):
        if page.evaluate("() => document.activeElement.dataset.testid") != "nav-search":
            press(page, "Right")
    press(page, "Enter")
    wait_for_focus(page, "search:key-a")
    # s, a, l by moves on six columns.
    press(page, "Down Down Down Enter")
    expect(page.get_by_test_id("search-field")).to_have_value("s")
    press(page, "Up Up Up Enter")
    press(page, "Down Right Right Right Right Right Enter")
    expect(page.get_by_test_id("search-field")).to_have_value("sal")
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Sal"])
    assert get_focused(page) == "search:key-l"
    press(page, "Right")
    wait_for_focus(page, "search:tit_2")
    press(page, "Enter")
    page.get_by_test_id("play").wait_for()
    page.keyboard.press("Escape")
    wait_for_focus(page, "search:tit_2")
    press(page, "Left")
    assert get_focused(page).startswith("search:key-")
    page.locator("[data-focus-id='search:key-erase']").focus()
    press(page, "Enter Enter Enter")
    expect(page.get_by_test_id("search-field")).to_have_value("")
    assert get_focused(page) == "search:key-erase"


def test_focus_is_not_lost_when_the_results_change(client: Opener) -> None:
    page = client(ANSWERS, size=DESKTOP).open("/search?tv&q=s")
    page.get_by_test_id("search-titles").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator("[data-focus-id='search:tit_7']").focus()
    page.evaluate("() => document.getElementById('search-field').dispatchEvent(new Event('focus'))")
    page.evaluate(
        """() => {
          const field = document.getElementById("search-field");
          Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, "sno");
          field.dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Sno"])
    page.wait_for_function("() => document.activeElement !== document.body")


def assert_fits_and_passes_axe(page: Page) -> None:
    page.locator("[data-testid=search-titles],[data-testid=search-person]").first.wait_for()
    assert_passes_axe(page)


def assert_passes_axe(page: Page) -> None:
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.add_script_tag(path=AXE)
    violations = page.evaluate("async () => (await axe.run()).violations.map((one) => [one.id, one.nodes[0].html])")
    assert violations == []


@pytest.mark.parametrize("size", [PHONE, LAPTOP, DESKTOP])
@pytest.mark.parametrize("path", ["/search", "/search?q=s", "/search?q=ada", "/search?q=qqq"])
def test_page_fits_and_passes_axe(client: Opener, size: tuple[int, int], path: str) -> None:
    assert_fits_and_passes_axe(client(ANSWERS, size=size).open(path))


@pytest.mark.parametrize("language", ["en", "de"])
def test_page_of_a_television_fits_and_passes_axe(client: Opener, language: str) -> None:
    assert_fits_and_passes_axe(client(ANSWERS, size=DESKTOP, language=language).open("/search?tv&q=s"))


def test_titles_are_browsed_by_their_initials(client: Opener) -> None:
    page = client(ANSWERS).open("/search")
    initials = page.get_by_test_id("initial")
    expect(initials).to_have_text([*INITIALS])
    page.get_by_test_id("search-field").fill("sal")
    expect(page.get_by_test_id("search-titles").locator("mark")).to_have_text(["Sal"])
    expect(initials).to_have_count(0)
    page.get_by_test_id("search-clear").click()
    page.get_by_role("link", name="S", exact=True).click()
    page.wait_for_url(f"{ORIGIN}/browse/S")
    cards = page.locator(".card-name")
    expect(page.get_by_role("heading", level=1)).to_have_text("Titles with S")
    expect(cards.first).to_have_text("S 0 0")
    page.locator(".card-name").nth(39).scroll_into_view_if_needed()
    expect(cards).to_have_count(80)
    expect(cards.last).to_have_text("S 1 39")
    page.get_by_role("link", name="Titles with digits and signs").click()
    page.wait_for_url(f"{ORIGIN}/browse/%23")
    expect(cards.first).to_have_text("# 0 0")
    expect(page.locator(".initials [aria-current=page]")).to_have_text("#")
    page.get_by_role("link", name="Q", exact=True).click()
    expect(page.locator(".page-empty")).to_have_text("There is no title with this letter.")
    # Another letter takes the place of the one before.
    page.go_back()
    expect(page.get_by_test_id("search-field")).to_be_visible()


def test_initials_are_reached_by_arrow_keys_on_a_television(client: Opener) -> None:
    page = client(ANSWERS, size=DESKTOP).open("/search?tv")
    wait_for_focus(page, "search:key-a")
    for _ in range(12):
        if not get_focused(page).startswith("initial:"):
            press(page, "Right" if get_focused(page).startswith("search:key-") else "Down")
    assert get_focused(page).startswith("initial:")
    press(page, "Enter")
    page.wait_for_url(f"{ORIGIN}/browse/*")
    page.wait_for_function("() => document.activeElement?.dataset.testid === 'title-card'")
    press(page, "Up")
    assert get_focused(page).startswith("initial:")
    press(page, "Down Enter")
    page.get_by_test_id("title-page").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement?.dataset.testid === 'title-card'")
    page.keyboard.press("Escape")
    page.wait_for_url(f"{ORIGIN}/search*")
    page.wait_for_function("() => document.activeElement !== document.body")


@pytest.mark.parametrize("size", [(320, 640), PHONE, LAPTOP, DESKTOP])
@pytest.mark.parametrize("path", ["/browse/S", "/browse/Q", "/browse/S?tv"])
def test_page_of_an_initial_fits_and_passes_axe(client: Opener, size: tuple[int, int], path: str) -> None:
    page = client(ANSWERS, size=size).open(path)
    page.locator(".card-name,.page-empty").first.wait_for()
    assert_passes_axe(page)
