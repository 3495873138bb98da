"""Where links, Back and dead ends lead."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect
from tests.web.rig import NOWHERE, ORIGIN, Opener, create_title


def sign_in(page: Page) -> None:
    page.get_by_test_id("sign-in-email").fill("ada@example.org")
    page.get_by_test_id("sign-in-password").fill("correct horse battery")
    page.get_by_test_id("sign-in-submit").click()


def test_a_link_to_a_title_is_kept_through_sign_in_and_the_choice_of_a_profile(client: Opener) -> None:
    page = client({"/titles/tit_1": create_title()}, signed_in=False, profile_id=None).open("/title/tit_1?from=mail")
    sign_in(page)
    page.get_by_test_id("profile-card").first.click()
    expect(page.get_by_test_id("title-page")).to_contain_text("Salt")
    assert page.url == f"{ORIGIN}/title/tit_1?from=mail"


def test_a_link_is_kept_through_sign_up(client: Opener) -> None:
    page = client({"/titles/tit_1": create_title()}, signed_in=False, profile_id=None).open("/title/tit_1")
    page.get_by_role("link", name="Open an account").click()
    page.get_by_test_id("sign-up-name").fill("Ada")
    sign_in(page)
    page.get_by_test_id("profile-card").first.click()
    expect(page.get_by_test_id("title-page")).to_contain_text("Salt")


@pytest.mark.parametrize("elsewhere", ["//example.org/", "https://example.org/", "/\\example.org"])
def test_a_link_through_sign_in_leads_nowhere_else(client: Opener, elsewhere: str) -> None:
    page = client(signed_in=False).open(f"/sign-in?next={elsewhere}")
    sign_in(page)
    expect(page.get_by_test_id("billboard-play")).to_be_visible()
    assert page.url == f"{ORIGIN}/"


def test_the_next_viewer_does_not_get_the_page_of_the_one_who_signed_out(client: Opener) -> None:
    page = client({"/history": {"entries": [], "next_cursor": None}}).open("/history")
    page.get_by_test_id("profile-menu").click()
    page.get_by_test_id("sign-out").click()
    expect(page.get_by_test_id("sign-in-email")).to_be_visible()
    page.wait_for_url(f"{ORIGIN}/")


def test_back_closes_a_dialog_and_leaves_the_page_below_it(client: Opener) -> None:
    page = client().open("/")
    page.get_by_test_id("profile-menu").click()
    page.get_by_test_id("menu-profiles").click()
    page.get_by_test_id("profiles-manage").click()
    page.get_by_test_id("profile-card").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.url == f"{ORIGIN}/profiles/manage"
    page.go_back()
    expect(page.get_by_role("heading", name="Who is watching?")).to_be_visible()


def test_a_dialog_that_was_closed_leaves_no_step_for_back(client: Opener) -> None:
    page = client().open("/profiles")
    page.get_by_test_id("profiles-manage").click()
    for _ in range(2):
        page.get_by_test_id("profile-card").first.click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Cancel").click()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function("() => !history.state.layer")
    page.go_back()
    expect(page.get_by_role("heading", name="Who is watching?")).to_be_visible()


def test_a_profile_chosen_in_a_dialog_replaces_the_page_below_it(client: Opener) -> None:
    def choose(request: Request) -> Any:
        if request.post_data_json["pin"] != "1234":
            return 403, {"type": "/problems/wrong-pin", "title": "", "status": 403}
        session = {"access_token": "t", "expires_in_s": 600, "account_id": "acc_1", "device_id": "dev_1"}
        return {**session, "profile_id": "pro_1", "roles": [], "refresh_token": None}

    page = client({"/profiles/pro_1/choose": choose}, profile_id=None).open("/profiles")
    page.get_by_test_id("profile-card").first.click()
    page.get_by_test_id("pin-pad").wait_for()
    page.keyboard.type("1234")
    page.get_by_test_id("pin-confirm").click()
    expect(page.get_by_test_id("billboard-play")).to_be_visible()
    page.wait_for_url(f"{ORIGIN}/")
    assert page.evaluate("() => history.state.layer") is None


def test_a_dead_end_leads_home(client: Opener) -> None:
    answers = {"POST /playback": NOWHERE, "/titles/tit_9": NOWHERE, "/genres/nothing": NOWHERE}
    page = client(answers).open("/title/tit_9")
    for path in ("/title/tit_9", "/genre/nothing", "/watch/tit_9", "/operator/nothing"):
        page.goto(ORIGIN + path)
        home = page.get_by_test_id("to-home")
        expect(home).to_be_visible()
        expect(page.get_by_text("Try again")).to_have_count(0)
        home.click()
        page.wait_for_url(f"{ORIGIN}/")


@pytest.mark.parametrize("path", ["/nothing", "/browse/AB", "/browse/%", "/title/%E0", "/genre/%zz", "/watch/%"])
def test_an_address_that_no_page_has_says_so(client: Opener, path: str) -> None:
    page = client().open(path)
    expect(page.get_by_text("There is nothing at this address.")).to_be_visible()
    page.get_by_text("Go to home").click()
    expect(page.get_by_test_id("billboard-play")).to_be_visible()


def test_profiles_are_fetched_once(client: Opener) -> None:
    opened = client()
    page = opened.open("/")
    expect(page.get_by_test_id("billboard-play")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert opened.requests.count("GET /profiles") == 1
    assert opened.requests.count("GET /home") == 1


def test_the_data_of_home_is_requested_before_the_client_is_loaded(client: Opener) -> None:
    opened = client()
    opened.page.context.route("**/assets/index-*.js", lambda route: route.abort())
    page = opened.open("/")
    page.wait_for_load_state("networkidle")
    assert opened.requests[0] == "POST /auth/refresh"
    assert set(opened.requests[1:]) == {"GET /home", "GET /profiles"}


@pytest.mark.parametrize("path", ["/title/tit_1", "/profiles", "/search", "/history", "/operator"])
def test_a_page_that_cannot_be_loaded_says_so(client: Opener, path: str) -> None:
    opened = client()
    opened.page.context.route(f"**/assets/{path.split('/')[1]}-*.js", lambda route: route.abort())
    page = opened.open(path)
    expect(page.get_by_text("Matinee cannot be reached. Check the network.")).to_be_visible()
    expect(page.get_by_text("Try again")).to_be_visible()


def test_focus_returns_to_the_card_of_a_title_page_that_was_loaded_late(client: Opener) -> None:
    opened = client({"/titles/tit_2": create_title("tit_2")})
    late: list[Route] = []
    opened.page.context.route("**/assets/title-*.js", lambda route: late.append(route))
    page = opened.open("/")
    card = page.locator("#main a[href='/title/tit_2']").first
    card.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement === document.body")
    for route in late:
        opened.respond(route, route.request)
    page.get_by_test_id("play").wait_for()
    page.keyboard.press("Escape")
    expect(card).to_be_focused()


def test_facts_of_a_title_lead_to_the_search_for_them(client: Opener) -> None:
    facts = {"countries": ["KR", "JP"], "studios": ["Studio A"], "franchise": "City Nights", "moods": ["Calm"]}
    page = client({"/titles/tit_1": {**create_title(), **facts}}).open("/title/tit_1")
    expect(page.get_by_test_id("fact")).to_have_text(["South Korea", "Japan", "Studio A", "City Nights", "Calm"])
    page.get_by_test_id("fact").filter(has_text="South Korea").click()
    expect(page).to_have_url(f"{ORIGIN}/search?q=South+Korea")


def test_a_title_without_facts_shows_none(client: Opener) -> None:
    page = client({"/titles/tit_1": create_title()}).open("/title/tit_1")
    expect(page.get_by_test_id("title-page")).to_contain_text("Audio")
    expect(page.get_by_test_id("fact")).to_have_count(0)
