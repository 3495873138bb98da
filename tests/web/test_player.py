"""The player: keys, controls and subtitles over a film of snow."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from tests.web.rig import DESKTOP, LAPTOP, PHONE, PHONE_ON_ITS_SIDE, Client, Opener, create_play_session

PLAYING = {"POST /playback": create_play_session()}


def play(client: Opener, film: Path, **options: object) -> tuple[Client, Page]:
    opened = client(PLAYING, film=film, **options)
    page = opened.open("/watch/tit_1")
    page.wait_for_function("() => document.querySelector('video')?.currentTime > 0.2")
    return opened, page


def is_paused(page: Page) -> bool:
    paused: bool = page.evaluate("() => document.querySelector('video').paused")
    return paused


@pytest.mark.parametrize("by", ["pointer", "keys"])
def test_space_pauses_after_a_menu_was_closed(client: Opener, film: Path, by: str) -> None:
    _, page = play(client, film)
    settings = page.get_by_test_id("control-settings")
    if by == "pointer":
        settings.click()
    else:
        settings.focus()
        page.keyboard.press("Enter")
    page.get_by_test_id("menu-speed").wait_for()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("menu-speed")).to_have_count(0)
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('video').paused")
    expect(page.get_by_test_id("menu-speed")).to_have_count(0)


def test_space_pauses_after_a_control_was_used_with_the_pointer(client: Opener, film: Path) -> None:
    _, page = play(client, film)
    page.get_by_test_id("control-mute").click()
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('video').paused")
    assert page.evaluate("() => document.querySelector('video').muted")


def test_space_still_presses_a_control_that_the_keys_reached(client: Opener, film: Path) -> None:
    _, page = play(client, film)
    page.get_by_test_id("control-mute").focus()
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('video').muted")
    assert not is_paused(page)


def test_back_closes_a_menu_and_not_the_player(client: Opener, film: Path) -> None:
    opened = client(PLAYING, film=film)
    page = opened.open("/")
    page.get_by_test_id("billboard-play").click()
    page.wait_for_function("() => document.querySelector('video')?.currentTime > 0.2")
    page.get_by_test_id("control-settings").click()
    page.get_by_test_id("menu-speed").wait_for()
    page.wait_for_function("() => history.state.layer === 1")
    page.go_back()
    expect(page.get_by_test_id("menu-speed")).to_have_count(0)
    expect(page.get_by_test_id("player-video")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("billboard-play")).to_be_visible()


@pytest.mark.parametrize(("size", "touch"), [(PHONE, True), (PHONE_ON_ITS_SIDE, True), (LAPTOP, False)])
def test_each_control_is_shown_once(client: Opener, film: Path, size: tuple[int, int], touch: bool) -> None:
    _, page = play(client, film, size=size, touch=touch)
    page.mouse.move(100, 100)
    for name in ("Pause", "Back 10 seconds", "Forward 10 seconds"):
        buttons = page.get_by_role("button", name=name, exact=True)
        assert [button.is_visible() for button in buttons.all()].count(True) == 1, name


@pytest.mark.parametrize("size", [PHONE, LAPTOP, DESKTOP])
def test_subtitles_are_readable_on_snow(client: Opener, film: Path, size: tuple[int, int]) -> None:
    opened = client(PLAYING, film=film, size=size)
    # The preferences of an earlier version, whose default was a shadow.
    earlier = """{"text": "en", "edge": "shadow", "size": "medium", "colour": "white"}"""
    opened.page.add_init_script(f"localStorage.setItem('matinee.taste', '{earlier}')")
    page = opened.open("/watch/tit_1")
    line = page.get_by_test_id("subtitles").locator("span")
    line.wait_for()
    box = line.bounding_box()
    assert box
    picture = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("L")
    background = max(picture.crop((1, 1, 4, picture.height - 1)).tobytes()) / 255
    assert contrast(1.0, to_linear(background)) >= 4.5
    assert page.get_by_test_id("subtitles").get_attribute("class") == (
        "subtitles size-medium colour-white edge-outline background-soft at-bottom raised"
    )


def test_subtitles_move_to_the_place_that_the_viewer_chooses(client: Opener, film: Path) -> None:
    opened = client(PLAYING, film=film)
    opened.page.add_init_script("""localStorage.setItem('matinee.taste', '{"text": "en"}')""")
    page = opened.open("/watch/tit_1")
    line = page.get_by_test_id("subtitles").locator("span")
    line.wait_for()
    page.get_by_test_id("control-audio-text").click()
    page.get_by_role("radio", name="Top").click()
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.querySelector('[data-testid=subtitles]').getBoundingClientRect().top < 300")


def to_linear(value: float) -> float:
    return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4


def contrast(lighter: float, darker: float) -> float:
    return (lighter + 0.05) / (darker + 0.05)
