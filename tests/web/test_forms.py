"""Forms: what is wrong is in view and has the focus, and the action is in reach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect
from tests.web.rig import ADA, DESKTOP, LAPTOP, PHONE, PHONE_ON_ITS_SIDE, Answers, Opener

SIZES = [PHONE, PHONE_ON_ITS_SIDE, LAPTOP, DESKTOP]
FAULTS = [{"field": "name", "message": "This name is taken."}]
INVALID = (422, {"type": "/problems/invalid", "title": "Invalid", "status": 422, "faults": FAULTS})


def is_in_view(locator: Locator) -> bool:
    """Return whether all of an element is in the window and nothing covers its centre."""
    in_view: bool = locator.evaluate(
        """(element) => {
          const { left, top, right, bottom } = element.getBoundingClientRect();
          const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
          const isCovered = !element.contains(found) && !found?.contains(element);
          return top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth && !isCovered;
        }"""
    )
    return in_view


def edit_profile(page: Page) -> None:
    page.get_by_test_id("profile-card").first.click()
    page.get_by_test_id("profile-name").wait_for()
    page.wait_for_function("() => document.getAnimations().every((one) => one.playState !== 'running')")


@pytest.mark.parametrize("size", SIZES)
def test_a_profile_can_be_saved_at_every_height(client: Opener, size: tuple[int, int]) -> None:
    page = client(size=size, touch=size[0] < 900).open("/profiles/manage")
    edit_profile(page)
    assert is_in_view(page.get_by_test_id("profile-save"))


@pytest.mark.parametrize("size", [PHONE_ON_ITS_SIDE, LAPTOP])
def test_the_first_invalid_field_has_the_focus_and_is_in_view(client: Opener, size: tuple[int, int]) -> None:
    page = client({"PATCH /profiles/pro_1": INVALID}, size=size).open("/profiles/manage")
    edit_profile(page)
    name, pin = page.get_by_test_id("profile-name"), page.get_by_test_id("profile-pin")
    pin.fill("12")
    page.get_by_test_id("profile-save").click()
    expect(pin).to_be_focused()
    assert is_in_view(pin)
    pin.fill("")
    page.get_by_test_id("profile-save").click()
    expect(name).to_be_focused()
    expect(page.get_by_text("This name is taken.")).to_be_visible()
    assert is_in_view(name)


def test_a_failure_of_no_field_has_the_focus_and_is_in_view(client: Opener) -> None:
    refused = (409, {"type": "/problems/last-profile", "title": "", "status": 409})
    page = client({"PATCH /profiles/pro_1": refused}, size=PHONE_ON_ITS_SIDE).open("/profiles/manage")
    edit_profile(page)
    page.get_by_test_id("profile-save").click()
    expect(page.get_by_role("alert")).to_be_focused()
    assert is_in_view(page.get_by_role("alert"))


def test_the_sign_in_form_focuses_its_first_invalid_field(client: Opener) -> None:
    page = client(signed_in=False).open("/sign-up")
    page.get_by_test_id("sign-in-submit").click()
    expect(page.get_by_test_id("sign-up-name")).to_be_focused()
    page.get_by_test_id("sign-up-name").fill("Ada")
    page.get_by_test_id("sign-in-submit").click()
    expect(page.get_by_test_id("sign-in-email")).to_be_focused()


def test_a_pin_is_masked_until_it_is_revealed(client: Opener) -> None:
    page = client().open("/profiles/manage")
    edit_profile(page)
    pin = page.get_by_test_id("profile-pin")
    pin.fill("1234")
    assert pin.evaluate("(input) => input.type") == "password"
    page.get_by_role("button", name="Show PIN").click()
    assert pin.evaluate("(input) => input.type") == "text"
    page.get_by_role("button", name="Hide PIN").click()
    assert pin.evaluate("(input) => input.type") == "password"


@pytest.fixture
def open_upload(client: Opener, tmp_path: Path) -> Callable[[Answers], Any]:
    """A function that opens the page of uploads, with a film that is uploaded."""
    master = tmp_path / "film.mp4"
    master.write_bytes(b"film")

    def open_page(answers: Answers) -> Any:
        opened = client({"/operator/titles": {"items": [], "next_cursor": None}, **answers})
        page = opened.page
        page.context.route("**/operator/uploads**", lambda route: route.fulfill(status=201, headers=UPLOADED, body=""))
        opened.open("/operator/upload")
        page.get_by_test_id("upload-file").set_input_files(master)
        expect(page.locator("[data-testid=upload][data-phase=complete]")).to_be_visible()
        return opened

    return open_page


def test_an_upload_with_a_wrong_year_shows_its_error_at_the_year(open_upload: Callable[[Answers], Any]) -> None:
    opened = open_upload({})
    page = opened.page
    year = page.get_by_test_id("upload-year")
    year.fill("26")
    page.get_by_test_id("upload-submit").click()
    expect(year).to_be_focused()
    expect(page.get_by_text("Enter a year from 1880")).to_be_visible()
    assert is_in_view(year)
    assert "POST /operator/ingest" not in opened.requests


def test_a_film_that_is_there_already_becomes_another_title_on_request(open_upload: Callable[[Answers], Any]) -> None:
    bodies: list[Any] = []

    def ingest(request: Request) -> Any:
        bodies.append(request.post_data_json)
        facts = {"type": "/problems/already-ingested", "name": "Harbour", "title_id": "tit_1"}
        return {"job_id": "job_1"} if bodies[-1]["again"] else (409, facts)

    page = open_upload({"/operator/ingest": ingest}).page
    page.get_by_test_id("upload-submit").click()
    expect(page.get_by_role("alert")).to_have_text("Matinee already has a title of this film.")
    expect(page.get_by_test_id("upload-existing")).to_have_text("Open “Harbour”")
    page.get_by_test_id("upload-anyway").click()
    expect(page.get_by_text("Queued. Its progress is under Jobs.")).to_be_visible()
    assert [body["again"] for body in bodies] == [False, True]


UPLOADED = {"Location": "/api/v1/operator/uploads/upl_1", "Upload-Offset": "4", "Tus-Resumable": "1.0.0"}


def test_avatars_have_names_in_the_language(client: Opener) -> None:
    page = client({"/profiles": [{**ADA, "language": "de"}]}).open("/profiles/manage")
    edit_profile(page)
    expect(page.get_by_role("radio", name="Lagerfeuer")).to_be_visible()
