"""Accounts over HTTP: the viewer's own, others' for an operator, the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.deployment import eventually
from tests.unit.gateway_rig import CLOCK, PASSWORD, Deployment, Viewer, call, run_gateway

from matinee.viewing.api import Position

FRESH = "battery staple"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path) as running:
        yield running


async def watch(gateway: Deployment, viewer: Viewer) -> None:
    """Store a position, and one that is dismissed."""
    account_id, profile_id = viewer.session["account_id"], viewer.profile_id
    for title_id in ("tit_1", "tit_2"):
        position = Position(
            account_id=account_id,
            profile_id=profile_id,
            title_id=title_id,
            position_ms=60_000,
            duration_ms=600_000,
            updated_at=CLOCK.now(),
            device_id=viewer.session["device_id"],
        )
        await gateway.domains["viewing"].record(position=position)
    await gateway.domains["viewing"].dismiss(account_id=account_id, profile_id=profile_id, title_id="tit_2")


async def sign_in(gateway: Deployment, email: str, password: str = PASSWORD) -> int:
    body = {"email": email, "password": password, "device": {"name": "x"}}
    return (await Viewer(gateway, email).call("POST", "/auth/sign-in", body)).status


async def test_viewer_exports_the_account(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    await watch(gateway, viewer)
    assert (await viewer.call("GET", "/account")).json["email"] == viewer.email
    answer = await viewer.call("GET", "/account/export")
    assert answer.status == 200
    assert answer.headers["Content-Disposition"] == 'attachment; filename="matinee-account.json"'
    assert answer.json["account"]["account"]["email"] == viewer.email
    assert {position["title_id"] for position in answer.json["history"][viewer.profile_id]} == {"tit_1", "tit_2"}


async def test_viewer_closes_the_account(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    answer = await viewer.call("DELETE", "/account")
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert await sign_in(gateway, viewer.email) == 401
    assert (await viewer.call("GET", "/profiles")).json == []
    assert (await viewer.call("POST", "/playback", {"title_id": "tit_1", "capabilities": {}})).status == 401


async def test_operator_manages_an_account(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    opened = await operator.call("POST", "/operator/accounts", {"email": "kit@example.org", "name": "Kit"})
    assert opened.status == 201
    account, password = opened.json["account"], opened.json["password"]
    place = f"/operator/accounts/{account['account_id']}"
    assert await sign_in(gateway, "kit@example.org", password) == 200
    assert [one["email"] for one in (await operator.call("GET", "/operator/accounts?query=KIT")).json["items"]] == [
        "kit@example.org"
    ]
    shown = (await operator.call("GET", place)).json
    assert ([one["name"] for one in shown["profiles"]], len(shown["devices"])) == (["Kit"], 1)
    assert (await operator.call("PUT", f"{place}/password", {"password": FRESH})).json["password"] is None
    assert await sign_in(gateway, "kit@example.org", FRESH) == 200
    assert (await operator.call("DELETE", f"{place}/sign-ins")).json == {"ended": 1}
    assert (await operator.call("PUT", f"{place}/roles/operator")).json["roles"] == ["operator"]
    assert (await operator.call("DELETE", f"{place}/roles/operator")).json["roles"] == []
    assert (await operator.call("PUT", f"{place}/roles/king")).status == 422
    assert (await operator.call("GET", f"{place}/export")).json["account"]["account"] == account
    assert (await operator.call("DELETE", place)).status == 204
    assert (await operator.call("GET", place)).problem == "account-not-found"
    own = f"/operator/accounts/{operator.session['account_id']}"
    for path in (own, f"{own}/roles/operator"):
        assert (await operator.call("DELETE", path)).problem == "last-operator"
    assert (await operator.call("POST", "/operator/keys/rotate")).status == 204
    assert (await operator.call("POST", "/operator/keys/rotate")).problem == "rotated-too-soon"


async def test_acts_of_operators_are_in_the_audit_log(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    title_id = await gateway.add_film("A film")
    assert (await operator.call("POST", f"/operator/titles/{title_id}/withdraw")).status == 200
    assert (await operator.call("POST", "/operator/titles/none/publish")).status == 404
    assert (await operator.call("PUT", "/operator/titles/x", {})).status == 422
    assert (await operator.call("GET", "/operator/jobs")).status == 200
    expected = {
        ("operator", operator.email, "127.0.0.1", f"withdraw_title {title_id}"),
        ("operator", operator.email, "127.0.0.1", "publish_title none"),
        ("refused", operator.email, "127.0.0.1", "publish_title none title-not-found"),
        ("operator", operator.email, "127.0.0.1", "put_title x"),
        ("refused", operator.email, "127.0.0.1", "put_title x invalid"),
    }

    async def read_log() -> list[dict[str, Any]]:
        log: list[dict[str, Any]] = (await operator.call("GET", "/operator/audit")).json["items"]
        return log

    async def has_all() -> bool:  # a refusal is recorded after its answer
        acts = {(entry["act"], entry["actor"], entry["client"], entry["detail"]) for entry in await read_log()}
        return {entry for entry in acts if entry[0] in {"operator", "refused"}} == expected

    await eventually(has_all)
    log = await read_log()
    about = await operator.call("GET", f"/operator/audit?account_id={operator.session['account_id']}")
    assert len(about.json["items"]) == len(log)
    assert (await operator.call("GET", "/operator/audit?cursor=x")).status == 422


async def test_sign_up_can_be_closed(gateway: Deployment) -> None:
    options = await call(gateway, "GET", "/api/v1/auth/options")
    assert options.json == {"sign_up": True}
    gateway.domains["identity"]._is_sign_up_open = False
    assert (await call(gateway, "GET", "/api/v1/auth/options")).json == {"sign_up": False}
    body = {"email": "kit@example.org", "password": PASSWORD, "name": "Kit", "device": {"name": "x"}}
    answer = await Viewer(gateway, "kit@example.org").call("POST", "/auth/sign-up", body)
    assert (answer.status, answer.problem) == (403, "sign-up-closed")


async def test_easy_password_is_named(gateway: Deployment) -> None:
    body = {"email": "kit@example.org", "password": "password", "name": "Kit", "device": {"name": "x"}}
    answer = await Viewer(gateway, "kit@example.org").call("POST", "/auth/sign-up", body)
    assert answer.status == 422
    assert answer.json["faults"] == [
        {"field": "password", "message": "this is easy to guess: This is a top-10 common password."}
    ]
