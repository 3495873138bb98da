"""Accounts: whether strangers may sign up, what a household does with its own, and what operators do with all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Request, expect
from tests.web.rig import (
    ADA,
    DESKTOP,
    KIM,
    LAPTOP,
    ORIGIN,
    PHONE,
    Answers,
    Opener,
    assert_nothing_is_cut_off,
)
from tests.web.test_forms import is_in_view

SIZES = [PHONE, LAPTOP, DESKTOP]
CLOSED = {"/auth/options": {"sign_up": False}}
PROOF_REQUIRED = (403, {"type": "/problems/proof-required", "title": "", "status": 403})
LAST_OPERATOR = (409, {"type": "/problems/last-operator", "title": "", "status": 409})
PASSWORD = "plum-otter-lantern-62"
OPERATOR = "/operator/accounts"


def create_account(number: int = 2, **fields: Any) -> dict[str, Any]:
    """Return an account; number 1 is that of the viewer."""
    account = {
        "account_id": f"acc_{number}",
        "email": f"person.{number}@a-rather-long-domain.example.org",
        "created_at": "2026-01-01T00:00:00Z",
        "status": "active",
        "roles": [],
    }
    return {**account, **fields}


def create_entry(number: int, act: str = "sign-in", **fields: Any) -> dict[str, Any]:
    """Return an entry of the audit log."""
    entry = {
        "entry_id": f"aud_{number}",
        "at": "2026-01-01T00:00:00Z",
        "act": act,
        "client": "2001:db8:1234:5678:9abc:def0:1234:5678",
        "detail": "",
        "actor_id": "acc_2",
        "actor": create_account(2)["email"],
        "account_id": "acc_2",
        "account": create_account(2)["email"],
    }
    return {**entry, **fields}


OWN = create_account(1, email="ada@example.org", roles=["operator"])
OTHER = create_account(2)
DEVICE = {"device_id": "dev_2", "name": "Firefox · Linux", "kind": "browser", "signed_in": True}
DETAILS = {"account": OTHER, "profiles": [ADA, KIM], "devices": [{**DEVICE, "last_seen_at": "2026-01-01T00:00:00Z"}]}
ENTRIES = [
    create_entry(1, "operator", detail="publish_title tit_06f2m3qf7rvk5xw1q2zj8t4s9c"),
    create_entry(2, "password-reset", client="command line", actor=None, actor_id=None),
    create_entry(3, "account-closed", account=None),
]


def create_page(items: list[dict[str, Any]], cursor: str | None = None) -> dict[str, Any]:
    return {"items": items, "next_cursor": cursor}


ANSWERS: Answers = {
    "GET /account": OWN,
    "/devices": [],
    OPERATOR: create_page([OWN, OTHER]),
    f"GET {OPERATOR}/acc_2": DETAILS,
    f"GET {OPERATOR}/acc_1": {**DETAILS, "account": OWN},
    "/operator/audit": create_page(ENTRIES),
    "/operator/services": [],
}


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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", ["accounts", "accounts/acc_2", "audit", "audit?account=acc_2"])
def test_no_table_of_accounts_is_cut_off(client: Opener, size: tuple[int, int], view: str) -> None:
    page = client(ANSWERS, size=size).open(f"/operator/{view}")
    page.locator("tbody tr").first.wait_for()
    if view == "accounts/acc_2":
        page.get_by_text("Operator action").wait_for()
    assert_nothing_is_cut_off(page)


def test_accounts_are_searched_as_one_types_and_back_finds_the_search_again(client: Opener) -> None:
    queries: list[str] = []

    def search(request: Request) -> Any:
        queries.append(request.url.partition("?")[2])
        return create_page([OTHER] if "query=" in request.url else [OWN, OTHER], None)

    page = client({**ANSWERS, OPERATOR: search}).open("/operator/accounts")
    expect(page.get_by_test_id("account-link")).to_have_count(2)
    page.get_by_test_id("account-search").press_sequentially("person", delay=30)
    expect(page.get_by_test_id("account-link")).to_have_count(1)
    assert queries == ["", "query=person"]
    page.get_by_test_id("account-link").click()
    expect(page.get_by_role("heading", name=OTHER["email"])).to_be_visible()
    expect(page).to_have_title(f"{OTHER['email']} · Matinee")
    assert page.url == f"{ORIGIN}/operator/accounts/acc_2"
    page.go_back()
    expect(page.get_by_test_id("account-search")).to_have_value("person")
    expect(page.get_by_test_id("account-link")).to_have_count(1)


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
    # A press beside the dialog does not lose the password.
    page.mouse.click(5, 5)
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
    expect(rows.nth(0)).to_contain_text("Aktion des Betriebs")
    expect(rows.nth(1)).to_contain_text("Kommandozeile")
    expect(rows.nth(2)).to_contain_text("Gelöschtes Konto")
    page.get_by_test_id("audit-filter").fill("person")
    page.get_by_test_id("audit-account").filter(has_text=OTHER["email"]).click()
    expect(page.get_by_text(f"Nur {OTHER['email']}")).to_be_visible()
    assert page.url == f"{ORIGIN}/operator/audit?account=acc_2"
    assert asked == ["", "account_id=acc_2"]
    page.get_by_test_id("audit-all").click()
    expect(page.get_by_test_id("audit-filter")).to_be_visible()


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
