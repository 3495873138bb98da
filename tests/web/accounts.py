"""Accounts and entries of the audit log, as the API returns them, and the answers of the pages that show them."""

from __future__ import annotations

from typing import Any

from tests.web.rig import ADA, DESKTOP, KIM, LAPTOP, PHONE, Answers

SIZES = [PHONE, LAPTOP, DESKTOP]
LAST_OPERATOR = (409, {"type": "/problems/last-operator", "title": "", "status": 409})
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
