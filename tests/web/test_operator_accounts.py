"""The console's pages of accounts and of the audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Request, expect
from tests.web.accounts import (
    ANSWERS,
    DETAILS,
    ENTRIES,
    LAST_OPERATOR,
    OPERATOR,
    OTHER,
    OWN,
    SIZES,
    create_entry,
    create_page,
)
from tests.web.rig import ORIGIN, Opener, assert_nothing_is_cut_off

PASSWORD = "plum-otter-lantern-62"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", ["accounts", "accounts/acc_2", "audit", "audit?account=acc_2"])
def test_no_table_of_accounts_is_cut_off(client: Opener, size: tuple[int, int], view: str) -> None:
    page = client(ANSWERS, size=size).open(f"/operator/{view}")
    page.locator("tbody tr").first.wait_for()
    if view == "accounts/acc_2":
        page.get_by_text("Title published").wait_for()
    assert_nothing_is_cut_off(page)


def test_accounts_are_searched_as_one_types_and_back_finds_the_search_again(client: Opener) -> None:
    def search(request: Request) -> Any:
        return create_page([OTHER] if "query=" in request.url else [OWN, OTHER], None)

    page = client({**ANSWERS, OPERATOR: search}).open("/operator/accounts")
    expect(page.get_by_test_id("account-link")).to_have_count(2)
    with page.expect_request(lambda request: request.url.endswith("?query=person")):
        page.get_by_test_id("account-search").press_sequentially("person", delay=30)
    expect(page.get_by_test_id("account-link")).to_have_count(1)
    page.get_by_test_id("account-link").click()
    expect(page.get_by_role("heading", name=OTHER["email"])).to_be_visible()
    expect(page).to_have_title(f"{OTHER['email']} · Matinee")
    assert page.url == f"{ORIGIN}/operator/accounts/acc_2"
    page.go_back()
    expect(page.get_by_test_id("account-search")).to_have_value("person")
    expect(page.get_by_test_id("account-link")).to_have_count(1)


def test_the_list_follows_the_address(client: Opener) -> None:
    def search(request: Request) -> Any:
        return create_page([OTHER] if "query=" in request.url else [OWN, OTHER], None)

    page = client({**ANSWERS, OPERATOR: search}).open("/operator/accounts?q=person")
    expect(page.get_by_test_id("account-link")).to_have_count(1)
    page.get_by_test_id("operator-accounts").click()
    expect(page.get_by_test_id("account-search")).to_have_value("")
    expect(page.get_by_test_id("account-link")).to_have_count(2)
    page.go_back()
    expect(page.get_by_test_id("account-search")).to_have_value("person")
    expect(page.get_by_test_id("account-link")).to_have_count(1)


def test_back_finds_the_further_accounts_again(client: Opener) -> None:
    def send_page(request: Request) -> Any:
        return create_page([OTHER]) if "cursor=c" in request.url else create_page([OWN], "c")

    page = client({**ANSWERS, OPERATOR: send_page}).open("/operator/accounts")
    page.get_by_test_id("more").click()
    page.get_by_test_id("account-link").nth(1).click()
    expect(page.get_by_role("heading", name=OTHER["email"])).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("account-link")).to_have_count(2)


def test_more_accounts_are_loaded(client: Opener) -> None:
    def send_page(request: Request) -> Any:
        return create_page([OTHER]) if "cursor=c" in request.url else create_page([OWN], "c")

    page = client({**ANSWERS, OPERATOR: send_page}).open("/operator/accounts")
    page.get_by_test_id("more").click()
    expect(page.get_by_test_id("account-link")).to_have_count(2)
    expect(page.get_by_test_id("more")).to_have_count(0)


def test_a_search_without_result_says_so(client: Opener) -> None:
    page = client({**ANSWERS, OPERATOR: create_page([])}).open("/operator/accounts?q=nowhere")
    expect(page.get_by_text("No account has “nowhere” in its e-mail address.")).to_be_visible()


def test_an_account_is_created_and_its_password_is_shown_once(client: Opener) -> None:
    bodies: list[Any] = []

    def create(request: Request) -> Any:
        bodies.append(request.post_data_json)
        return {"account": OTHER, "password": PASSWORD}

    opened = client({**ANSWERS, f"POST {OPERATOR}": create})
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=ORIGIN)
    page = opened.open("/operator/accounts")
    page.get_by_test_id("account-create").click()
    page.get_by_test_id("create-submit").click()
    expect(page.get_by_test_id("create-email")).to_be_focused()
    page.get_by_test_id("create-email").fill("new@example.org")
    page.get_by_test_id("create-submit").click()
    expect(page.get_by_test_id("create-name")).to_be_focused()
    page.get_by_test_id("create-name").fill("Nora")
    page.get_by_role("switch", name="Operator").click()
    page.get_by_test_id("create-submit").click()
    expect(page.get_by_test_id("generated-password")).to_have_text(PASSWORD)
    page.get_by_test_id("password-copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == PASSWORD
    # Neither a press beside the dialog nor Escape nor Back loses the password.
    page.mouse.click(5, 5)
    page.keyboard.press("Escape")
    page.go_back()
    expect(page.get_by_test_id("generated-password")).to_have_text(PASSWORD)
    page.get_by_test_id("password-done").click()
    page.wait_for_url(f"{ORIGIN}/operator/accounts/acc_2")
    expect(page.get_by_role("heading", name=OTHER["email"])).to_be_visible()
    expect(page.get_by_text(PASSWORD)).to_have_count(0)
    body = {"email": "new@example.org", "name": "Nora", "language": "en", "password": None, "roles": ["operator"]}
    assert bodies == [body]


def test_a_fault_of_the_server_is_shown_at_its_field(client: Opener) -> None:
    faults = [{"field": "password", "message": "This password is often used."}]
    weak = (422, {"type": "/problems/invalid", "title": "Invalid", "status": 422, "faults": faults})
    page = client({**ANSWERS, f"PUT {OPERATOR}/acc_2/password": weak}).open("/operator/accounts/acc_2")
    page.get_by_test_id("account-reset").click()
    page.get_by_test_id("reset-password").fill("short")
    page.get_by_test_id("reset-submit").click()
    expect(page.get_by_test_id("reset-password")).to_be_focused()
    expect(page.get_by_text("Use at least 8 characters.")).to_be_visible()
    page.get_by_test_id("reset-password").fill("password")
    page.get_by_test_id("reset-submit").click()
    expect(page.get_by_test_id("reset-password")).to_be_focused()
    expect(page.get_by_text("This password is easy to guess.")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_password_is_reset_where_the_clipboard_is_out_of_reach(client: Opener) -> None:
    answer = {"account": OTHER, "password": PASSWORD}
    opened = client({**ANSWERS, f"PUT {OPERATOR}/acc_2/password": answer})
    opened.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page = opened.open("/operator/accounts/acc_2")
    page.get_by_test_id("account-reset").click()
    page.get_by_test_id("reset-submit").click()
    page.get_by_test_id("password-copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    page.get_by_test_id("password-done").click()
    expect(page.get_by_text("The password is changed.")).to_be_visible()
    expect(page.get_by_test_id("account-reset")).to_be_focused()


def test_the_role_is_given_and_taken(client: Opener) -> None:
    account = dict(OTHER)

    def set_role(request: Request) -> Any:
        account["roles"] = ["operator"] if request.method == "PUT" else []
        return account

    answers = {
        f"GET {OPERATOR}/acc_2": lambda _: {**DETAILS, "account": account},
        f"{OPERATOR}/acc_2/roles/operator": set_role,
    }
    page = client({**ANSWERS, **answers}).open("/operator/accounts/acc_2")
    page.get_by_test_id("account-role").click()
    page.get_by_role("dialog").get_by_role("button", name="Make operator").click()
    expect(page.get_by_test_id("account-role")).to_have_text("Revoke operator")
    page.get_by_test_id("account-role").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke operator").click()
    expect(page.get_by_test_id("account-role")).to_have_text("Make operator")


def test_what_failed_says_so_beside_its_button(client: Opener) -> None:
    path = f"{OPERATOR}/acc_2"
    operator = {**DETAILS, "account": {**OTHER, "roles": ["operator"]}}
    page = client({**ANSWERS, f"GET {path}": operator, f"DELETE {path}/roles/operator": LAST_OPERATOR}).open(
        "/operator/accounts/acc_2"
    )
    page.get_by_test_id("account-role").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke operator").click()
    line = page.locator(".action", has=page.get_by_test_id("account-role"))
    expect(line.get_by_role("alert")).to_contain_text("last operator")


def test_the_sign_ins_of_an_account_are_ended(client: Opener) -> None:
    opened = client({**ANSWERS, f"DELETE {OPERATOR}/acc_2/sign-ins": {"ended": 3}})
    page = opened.open("/operator/accounts/acc_2")
    page.get_by_test_id("account-end").click()
    page.get_by_role("dialog").get_by_role("button", name="End sign-ins").click()
    expect(page.get_by_text("3 sign-ins ended.")).to_be_visible()


def test_an_account_is_exported_and_closed(client: Opener) -> None:
    opened = client({**ANSWERS, f"{OPERATOR}/acc_2/export": {"account": OTHER}})
    page = opened.open("/operator/accounts/acc_2")
    with page.expect_download() as download:
        page.get_by_test_id("account-export").click()
    assert json.loads(Path(download.value.path()).read_text()) == {"account": OTHER}
    page.get_by_test_id("account-close").click()
    page.get_by_test_id("confirm-text").fill(OTHER["email"])
    page.get_by_test_id("confirm-submit").click()
    page.wait_for_url(f"{ORIGIN}/operator/accounts")
    assert f"DELETE {OPERATOR}/acc_2" in opened.requests
    assert opened.signed_in


def test_operators_cannot_lock_themselves_out(client: Opener) -> None:
    page = client(ANSWERS).open("/operator/accounts/acc_1")
    expect(page.get_by_role("link", name="To your account")).to_be_visible()
    for action in ("account-reset", "account-end", "account-role", "account-close"):
        expect(page.get_by_test_id(action)).to_have_count(0)


def test_the_audit_log_is_filtered_by_an_account_and_translated(client: Opener) -> None:
    asked: list[str] = []

    def send(request: Request) -> Any:
        asked.append(request.url.partition("?")[2])
        return create_page(ENTRIES)

    page = client({**ANSWERS, "/operator/audit": send}, language="de").open("/operator/audit")
    rows = page.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("Titel veröffentlicht")
    expect(rows.nth(1)).to_contain_text("Kommandozeile")
    expect(rows.nth(2)).to_contain_text("Gelöschtes Konto")
    page.get_by_test_id("audit-filter").fill("person")
    page.get_by_test_id("audit-account").filter(has_text=OTHER["email"]).click()
    expect(page.get_by_text(f"Nur {OTHER['email']}")).to_be_visible()
    assert page.url == f"{ORIGIN}/operator/audit?account=acc_2"
    assert asked == ["", "account_id=acc_2"]
    page.get_by_test_id("audit-all").click()
    expect(page.get_by_test_id("audit-filter")).to_be_visible()


def test_enter_filters_the_audit_log_by_the_only_account_found(client: Opener) -> None:
    page = client({**ANSWERS, OPERATOR: create_page([OTHER])}).open("/operator/audit")
    page.get_by_test_id("audit-filter").fill("person")
    expect(page.get_by_test_id("audit-account")).to_have_count(1)
    page.get_by_test_id("audit-filter").press("Enter")
    expect(page.get_by_text(f"Only {OTHER['email']}")).to_be_visible()


def test_the_audit_log_says_what_was_refused_and_why(client: Opener) -> None:
    role = create_entry(1, "refused", detail="role-revoked last-operator")
    title = create_entry(2, "refused", detail="publish_title tit_1 title-not-found")
    page = client({**ANSWERS, "/operator/audit": create_page([role, title])}).open("/operator/audit")
    rows = page.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("Refused")
    expect(rows.nth(0)).to_contain_text("Role revoked · This is the last operator.")
    expect(rows.nth(1)).to_contain_text("Title published tit_1 · This title is no longer here.")


def test_the_signing_key_is_rotated_after_a_confirmation(client: Opener) -> None:
    opened = client(ANSWERS)
    page = opened.open("/operator/services")
    page.get_by_test_id("keys-rotate").click()
    page.get_by_role("button", name="Cancel").click()
    assert "POST /operator/keys/rotate" not in opened.requests
    page.get_by_test_id("keys-rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate the key").click()
    expect(page.get_by_text("A new key is in place and signs within minutes.")).to_be_visible()
    too_soon = {"type": "/problems/rotated-too-soon", "title": "", "status": 409}
    opened.answers["POST /operator/keys/rotate"] = (409, too_soon)
    page.get_by_test_id("keys-rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate the key").click()
    expect(page.locator(".action").get_by_role("alert")).to_contain_text("rotated a short time ago")


def test_an_account_is_reached_and_left_with_keys_only(client: Opener) -> None:
    page = client(ANSWERS).open("/operator/accounts?tv")
    link = page.get_by_test_id("account-link").last
    link.wait_for()
    page.get_by_test_id("operator-accounts").focus()
    page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=OTHER["email"])).to_be_visible()
    expect(page.locator("main :focus, nav :focus")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("account-search")).to_be_visible()
