"""The first paint of the home page: the billboard is there before the client runs."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from tests.web.rig import DESKTOP, KIM, LAPTOP, ORIGIN, PHONE, Client, Opener, create_home

EARLY = "#early"
CLIENT = "**/assets/index-*.js"


def hold(opened: Client, pattern: str) -> list[Route]:
    """Hold the requests of a kind; release them with `fallback`."""
    held: list[Route] = []
    opened.page.route(pattern, lambda route: held.append(route))  # Playwright sets an attribute of it
    return held


def measure(page: Page, root: str) -> list[Any]:
    """Return the boxes of the billboard, and the size of its title's letters."""
    boxes: list[Any] = page.evaluate(
        """(root) => [...document.querySelectorAll(`${root} :is(.billboard-art, .billboard-name, .billboard-synopsis)`)]
          .map((one) => {
            const { x, y, width, height } = one.getBoundingClientRect();
            return [...[x, y, width, height].map(Math.round), getComputedStyle(one).fontSize];
          })""",
        root,
    )
    return boxes


@pytest.mark.parametrize("size", [PHONE, LAPTOP, DESKTOP])
@pytest.mark.parametrize("profile_id", ["pro_1", "pro_2"])
def test_the_billboard_is_painted_before_the_client_and_stays_where_it_is(
    client: Opener, size: tuple[int, int], profile_id: str
) -> None:
    opened = client(size=size, profile_id=profile_id)
    if profile_id == KIM["profile_id"]:
        opened.page.add_init_script("localStorage.setItem('matinee.kids', '1')")
    held = hold(opened, CLIENT)
    opened.page.goto(f"{ORIGIN}/", wait_until="commit")
    expect(opened.page.locator(f"{EARLY} .billboard-name")).to_have_text("Film 0")
    expect(opened.page.locator(f"{EARLY} .billboard-synopsis")).to_be_visible()
    opened.page.evaluate("() => document.fonts.ready")
    early = measure(opened.page, EARLY)
    held[0].fallback()
    expect(opened.page.get_by_test_id("billboard-play")).to_be_visible()
    expect(opened.page.locator(EARLY)).to_have_count(0)
    assert measure(opened.page, "#root") == early


def test_the_early_billboard_belongs_to_the_home_page(client: Opener) -> None:
    for path in ("/history", "/?tv", "/profiles"):
        opened = client()
        opened.page.context.route(CLIENT, lambda route: route.abort())
        opened.open(path)
        opened.page.wait_for_load_state("networkidle")
        expect(opened.page.locator(EARLY)).to_have_count(0)


def test_the_early_billboard_gives_way_to_the_sign_in(client: Opener) -> None:
    opened = client({"/profiles": (401, {"type": "/problems/unauthenticated", "title": "", "status": 401})})

    def end_sign_in(_: Any) -> Any:
        opened.signed_in = False
        return create_home()

    opened.answers["/home"] = end_sign_in
    page = opened.open("/")
    expect(page.get_by_test_id("sign-in-email")).to_be_visible()
    expect(page.locator(EARLY)).to_have_count(0)


def test_the_client_does_not_wait_for_slow_data(client: Opener) -> None:
    opened = client()
    held = hold(opened, "**/api/v1/home")
    page = opened.page
    page.goto(f"{ORIGIN}/", wait_until="commit")
    expect(page.get_by_test_id("profile-menu")).to_be_visible()
    held[0].fallback()
    expect(page.get_by_test_id("billboard-play")).to_be_visible()
    page.wait_for_timeout(300)
    expect(page.locator(EARLY)).to_have_count(0)


def test_the_font_is_requested_with_the_page(client: Opener) -> None:
    page = client(signed_in=False).open("/sign-in")
    preloaded = page.locator("link[rel=preload][as=font]").get_attribute("href")
    fonts = page.evaluate("() => performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)")
    assert fonts.count(preloaded) == 1
    assert len([font for font in fonts if font.endswith(".woff2")]) == 1
