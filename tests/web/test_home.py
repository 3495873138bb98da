"""Home, history and the child's profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from tests.web.rig import DESKTOP, LAPTOP, ORIGIN, PHONE, Opener, create_card, create_home, create_play_session
from tests.web.test_forms import is_in_view

SIZES = [PHONE, LAPTOP, DESKTOP]


def rest_on_card(page: Page) -> None:
    """Rest the pointer on a card, which may have to be scrolled into view."""
    card = page.get_by_test_id("title-card").nth(1)
    card.hover()
    page.wait_for_timeout(200)
    box = card.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + 20)


@pytest.mark.parametrize("size", [LAPTOP, DESKTOP])
def test_a_preview_opens_in_view_and_plays(client: Opener, film: Path, size: tuple[int, int]) -> None:
    opened = client({"POST /playback": create_play_session()}, film=film, size=size)
    page = opened.open("/")
    rest_on_card(page)
    preview = page.get_by_test_id("preview")
    preview.wait_for()
    page.wait_for_function("() => document.querySelector('[data-testid=preview-video]')?.currentTime > 0.2")
    page.wait_for_function("() => document.querySelector('.preview').getAnimations().length === 0")
    assert is_in_view(preview)
    assert is_in_view(page.locator(".preview-play"))
    assert page.evaluate("() => document.querySelector('[data-testid=preview-video]').muted")
    page.mouse.move(5, 5)
    expect(preview).to_have_count(0)
    page.wait_for_timeout(300)
    assert "POST /playback/pls_1/end" in opened.requests
    assert "POST /playback/pls_1/heartbeat" not in opened.requests


def test_a_preview_is_still_for_who_prefers_less_motion(client: Opener, film: Path) -> None:
    opened = client({"POST /playback": create_play_session()}, film=film)
    opened.page.emulate_media(reduced_motion="reduce")
    page = opened.open("/")
    rest_on_card(page)
    page.get_by_test_id("preview").wait_for()
    expect(page.get_by_test_id("preview-video")).to_have_count(0)


def create_progress(position_ms: int, **fields: Any) -> dict[str, Any]:
    progress = {"position_ms": position_ms, "duration_ms": 600_000, "finished": False, "episode_id": None}
    return {**progress, "season_number": None, "episode_number": None, **fields}


def test_a_series_in_continue_watching_shows_its_next_episode(client: Opener) -> None:
    progress = create_progress(0, episode_id="epi_2", season_number=1, episode_number=2)
    card = create_card("tit_5", "Nights", kind="series", season_count=1, progress=progress)
    home = create_home()
    home["rows"].insert(0, {"row_id": "continue-watching", "kind": "continue-watching", "cards": [card], "genre": None})
    page = client({"/home": home}).open("/")
    expect(page.get_by_test_id("title-card").first).to_contain_text("Next: S1 E2")


def test_what_was_watched_to_the_end_can_be_removed_from_the_history(client: Opener) -> None:
    card = create_card("tit_5", "Seen", progress=create_progress(600_000, finished=True))
    entries = [{"card": card, "updated_at": "2026-01-01T00:00:00Z"}]
    opened = client({"/history": {"entries": entries, "next_cursor": None}})
    page = opened.open("/history")
    page.get_by_test_id("history-remove").click()
    expect(page.get_by_test_id("history-entry")).to_have_count(0)
    expect(page.get_by_text("What you watch appears here.")).to_be_visible()
    assert "DELETE /continue-watching/tit_5" in opened.requests


def test_the_title_of_the_billboard_is_visible_from_its_first_frame(client: Opener) -> None:
    opened = client()
    opened.page.add_init_script(
        """new MutationObserver(() => {
          const text = document.querySelector('.billboard-name');
          if (!text || window.firstOpacity !== undefined) return;
          let opacity = 1;
          for (let at = text; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
          window.firstOpacity = opacity;
        }).observe(document, { childList: true, subtree: true });"""
    )
    page = opened.open("/")
    page.wait_for_function("() => window.firstOpacity !== undefined")
    assert page.evaluate("() => window.firstOpacity") == 1


def measure_cards(page: Page) -> float:
    page.get_by_test_id("title-card").first.wait_for()
    width: float = page.evaluate(
        "() => document.querySelector('[data-testid=title-card]').getBoundingClientRect().width"
    )
    return width


@pytest.mark.parametrize("size", SIZES)
def test_a_childs_profile_has_larger_cards_and_its_own_colours(client: Opener, size: tuple[int, int]) -> None:
    adult = client(size=size).open("/")
    child = client(size=size, profile_id="pro_2").open("/")
    assert measure_cards(child) > 1.35 * measure_cards(adult)
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert child.evaluate(background) != adult.evaluate(background)
    # The next visit has the colours before the profile is known; another viewer's has not.
    child.reload(wait_until="commit")
    child.wait_for_function("() => document.documentElement.dataset.profile === 'kids'")
    child.goto(child.url + "profiles")
    child.get_by_test_id("profile-card").first.click()
    child.get_by_test_id("billboard-play").wait_for()
    child.wait_for_function("() => document.documentElement.dataset.profile === undefined")


def test_an_early_request_that_comes_late_does_not_block_the_client(client: Opener) -> None:
    opened = client()
    page = opened.page
    # Another tab refreshes its token. Meanwhile the client waits for the lock, and `early.js` arrives after that.
    other_tab = "navigator.locks.request('matinee-refresh', () => new Promise((done) => setTimeout(done, 2500)))"
    page.add_init_script(f"void {other_tab}")
    late: list[Route] = []
    page.route("**/early.js", lambda route: late.append(route))  # Playwright sets an attribute of it
    page.goto(f"{ORIGIN}/", wait_until="commit")
    page.wait_for_timeout(1200)
    late[0].fallback()
    page.get_by_test_id("title-card").first.wait_for()
