"""Accounts: whether strangers may sign up, and what a household does with its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Request, expect
from tests.web.accounts import ANSWERS, LAST_OPERATOR, OWN, SIZES
from tests.web.rig import ORIGIN, Opener
from tests.web.test_forms import is_in_view

CLOSED = {"/auth/options": {"sign_up": False}}
PROOF_REQUIRED = (403, {"type": "/problems/proof-required", "title": "", "status": 403})
SUM_SHIFTS = """() => {
  window.shift = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.shift += one.value)))
    .observe({ type: 'layout-shift' });
}"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-up"])
@pytest.mark.parametrize("is_open", [True, False])
def test_nothing_moves_when_it_becomes_known_whether_strangers_may_sign_up(
    client: Opener, size: tuple[int, int], path: str, is_open: bool
) -> None:
    opened = client({"/auth/options": {"sign_up": is_open}}, signed_in=False, size=size)
    held: list[Any] = []
    opened.page.route("**/auth/options", lambda route: held.append(route))
    page = opened.open(path)
    # The page is painted before the answer.
    expect(page.get_by_text("The lights go down whenever you like.")).to_be_visible()
    page.evaluate("() => document.fonts.ready")
    page.wait_for_timeout(500)
    page.evaluate(SUM_SHIFTS)
    held[0].fallback()
    link = page.get_by_role("link", name="Open an account" if path == "/sign-in" else "Sign in")
    expect(link).to_have_count(0 if path == "/sign-in" and not is_open else 1)
    page.wait_for_timeout(500)
    assert page.evaluate("() => window.shift") == 0


def test_the_sign_in_page_leads_to_the_sign_up_only_where_it_is_open(client: Opener) -> None:
    page = client(CLOSED, signed_in=False).open("/sign-in")
    expect(page.get_by_text("Accounts are created by the operator.")).to_be_visible()
    expect(page.get_by_role("link", name="Open an account")).to_have_count(0)
    page = client(signed_in=False).open("/sign-in")
    expect(page.get_by_role("link", name="Open an account")).to_be_visible()


def test_the_address_of_a_closed_sign_up_says_so_and_leads_to_the_sign_in(client: Opener) -> None:
    page = client(CLOSED, signed_in=False).open("/sign-up?next=/history")
    expect(page.get_by_role("heading", name="No new accounts here")).to_be_visible()
    expect(page.get_by_test_id("sign-in-submit")).to_have_count(0)
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_test_id("sign-in-email")).to_be_focused()
    assert page.url == f"{ORIGIN}/sign-in?next=%2Fhistory"


def test_the_sign_up_is_asked_for_before_the_client_is_loaded(client: Opener) -> None:
    opened = client(signed_in=False)
    opened.page.context.route("**/assets/index-*.js", lambda route: route.abort())
    page = opened.open("/")
    page.wait_for_load_state("networkidle")
    assert opened.requests == ["GET /auth/options"]


def test_a_household_exports_its_data_after_a_proof(client: Opener) -> None:
    refusals = [PROOF_REQUIRED]

    def export(_: Request) -> Any:
        return refusals.pop() if refusals else {"account": OWN}

    page = client({**ANSWERS, "/account/export": export}).open("/account")
    page.get_by_test_id("account-export").click()
    page.get_by_test_id("proof-secret").fill("correct horse battery")
    with page.expect_download() as download:
        page.get_by_test_id("proof-submit").click()
    assert download.value.suggested_filename == "matinee-account.json"
    assert json.loads(Path(download.value.path()).read_text()) == {"account": OWN}
    expect(page.get_by_text("Saved as matinee-account.json.")).to_be_visible()


def test_an_export_that_failed_says_so_beside_its_button(client: Opener) -> None:
    page = client({**ANSWERS, "/account/export": (503, {"type": "/problems/overloaded", "status": 503})}).open(
        "/account"
    )
    page.get_by_test_id("account-export").click()
    panel = page.locator(".panel", has=page.get_by_test_id("account-export"))
    expect(panel.get_by_role("alert")).to_have_text("The service is busy. Try again shortly.")


@pytest.mark.parametrize("size", SIZES)
def test_an_account_is_closed_only_after_its_address_was_typed(client: Opener, size: tuple[int, int]) -> None:
    opened = client(ANSWERS, size=size)
    page = opened.open("/account")
    page.get_by_test_id("account-close").click()
    typed, submit = page.get_by_test_id("confirm-text"), page.get_by_test_id("confirm-submit")
    expect(typed).to_be_focused()
    expect(page.get_by_role("dialog")).to_contain_text("cannot be undone")
    typed.fill("someone@example.org")
    submit.click()
    expect(typed).to_be_focused()
    expect(page.get_by_text("This is not ada@example.org.")).to_be_visible()
    assert is_in_view(typed)
    assert "DELETE /account" not in opened.requests
    typed.fill("Ada@Example.org ")
    submit.click()
    expect(page.get_by_role("status").filter(has_text="Your account is closed")).to_be_visible()
    expect(page.get_by_test_id("sign-in-email")).to_be_focused()
    assert "DELETE /account" in opened.requests
    assert page.url == f"{ORIGIN}/"
    page.reload()
    expect(page.get_by_test_id("sign-in-email")).to_be_visible()
    expect(page.get_by_text("Your account is closed")).to_have_count(0)


def test_the_last_operator_reads_in_the_dialog_why_the_account_stays(client: Opener) -> None:
    page = client({**ANSWERS, "DELETE /account": LAST_OPERATOR}).open("/account")
    page.get_by_test_id("account-close").click()
    page.get_by_test_id("confirm-text").fill("ada@example.org")
    page.get_by_test_id("confirm-submit").click()
    alert = page.get_by_role("dialog").get_by_role("alert")
    expect(alert).to_be_focused()
    expect(alert).to_contain_text("last operator")


def test_a_child_sees_nothing_of_the_account(client: Opener) -> None:
    page = client(ANSWERS, profile_id="pro_2").open("/account")
    expect(page.get_by_text("There is nothing at this address.")).to_be_visible()
    expect(page.get_by_test_id("account-close")).to_have_count(0)
