"""Who may use which route: every operation of the API, for every kind of caller, and with the ids of others."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway_rig import PASSWORD, Deployment, HttpResponse, Viewer, call, run_gateway

from matinee.gateway.server.openapi import build_document

API = json.loads(build_document())
OPERATIONS = [
    (method.upper(), path, bool(operation.get("security")))
    for path, operations in API["paths"].items()
    for method, operation in operations.items()
]
# These need no sign-in: signing in, and addresses that contain a signed token.
PUBLIC = {
    *(f"/api/v1/auth/{name}" for name in ("options", "refresh", "sign-in", "sign-out", "sign-up")),
    "/api/v1/licences/clearkey/{token}",
    "/api/v1/licences/hls/{token}/{key_id}",
    "/api/v1/playback/{session_id}/manifest/{token}/{name}",
    "/api/v1/playback/{session_id}/beacon/{token}",
}
# What an adult alone may use.
ACCOUNT = {
    "/api/v1/account",
    "/api/v1/account/export",
    "/api/v1/devices",
    "/api/v1/devices/{device_id}",
    "/api/v1/auth/sign-out-everywhere",
    "/api/v1/auth/password",
}
HEARTBEAT = {"position_ms": 0, "state": "playing", "at": "2026-05-01T00:00:00Z"}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/playback/{session_id}/end"): HEARTBEAT,
    ("POST", "/api/v1/playback/{session_id}/heartbeat"): HEARTBEAT,
    ("POST", "/api/v1/playback/{session_id}/beacon/{token}"): HEARTBEAT,
    ("POST", "/api/v1/operator/edges/{edge_id}/drain"): {"draining": True},
    ("PUT", "/api/v1/auth/password"): {"password": "battery staple"},
    ("POST", "/api/v1/profiles"): {"name": "Kit"},
    ("PATCH", "/api/v1/profiles/{profile_id}"): {"maturity": 18},
    ("POST", "/api/v1/operator/accounts"): {"email": "kit@example.org", "name": "Kit"},
}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
PIECE = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path) as running:
        yield running


async def use(gateway: Deployment, method: str, path: str, who: Viewer | None, **ids: str) -> HttpResponse:
    body = BODIES.get((method, path), {} if method in {"POST", "PUT", "PATCH"} else None)
    for part in (part for part in path.split("/") if part.startswith("{")):
        path = path.replace(part, ids.get(part[1:-1], "x"))
    headers = {**TUS, **(PIECE if "uploads" in path else {}), **(who.headers if who else {})}
    return await call(gateway, method, path, None if body is None else json.dumps(body).encode(), headers)


async def choose_child(adult: Viewer) -> Viewer:
    """Return the same sign-in on a child's profile."""
    child = await adult.call("POST", "/profiles", {"name": "Kit", "kids": True})
    assert child.status == 201
    viewer = replace(adult)
    assert (await viewer.choose(child.json["profile_id"])).status == 200
    return viewer


def test_public_routes_are_known() -> None:
    assert {path for _, path, is_protected in OPERATIONS if not is_protected} == PUBLIC


async def test_protected_routes_need_a_sign_in(gateway: Deployment) -> None:
    for method, path, is_protected in OPERATIONS:
        if is_protected:
            assert (await use(gateway, method, path, None)).status == 401, (method, path)


async def test_operator_routes_need_the_role_of_an_adult(gateway: Deployment) -> None:
    viewer, operator = await gateway.viewer(), await gateway.viewer(operator=True)
    child = await choose_child(operator)
    for method, path, _ in OPERATIONS:
        if path.startswith("/api/v1/operator/"):
            for who in (viewer, child):
                assert (await use(gateway, method, path, who)).status == 403, (method, path)


async def test_changes_of_accounts_need_a_proof(tmp_path: Path) -> None:
    """Every operation that says so refuses an operator whose last proof is too old."""
    async with run_gateway(tmp_path) as gateway:
        operator = await gateway.viewer(operator=True)
        gateway.domains["identity"]._proofs._validity = timedelta(0)
        needing = [
            (method.upper(), path)
            for path, operations in API["paths"].items()
            for method, operation in operations.items()
            if "needs a proof" in operation["summary"]
        ]
        assert len(needing) >= 15
        for method, path in needing:
            answer = await use(gateway, method, path, operator, profile_id=operator.profile_id, role="operator")
            assert (answer.status, answer.problem) == (403, "proof-required"), (method, path)


async def test_child_cannot_see_or_change_the_account(gateway: Deployment) -> None:
    adult = await gateway.viewer()
    device_id, parent = adult.session["device_id"], adult.profile_id
    child = await choose_child(adult)
    for method, path, _ in OPERATIONS:
        if path in ACCOUNT:
            assert (await use(gateway, method, path, child, device_id=device_id)).status == 403, (method, path)
    for method, path, body in (
        ("PATCH", child.profile_id, {"maturity": 18, "kids": False}),
        ("PATCH", child.profile_id, {"name": "Me"}),
        ("PATCH", parent, {"pin": ""}),
        ("DELETE", parent, None),
    ):
        answer = await child.call(method, f"/profiles/{path}", body)
        assert (answer.status, answer.problem) == (403, "proof-required"), (method, body)
    assert (await child.call("POST", "/profiles", {"name": "Free"})).problem == "proof-required"
    assert (await child.call("POST", "/auth/prove", {"password": "guess"})).problem == "wrong-password"
    assert (await child.call("POST", "/auth/prove", {"password": PASSWORD})).status == 204
    assert (await child.call("PATCH", f"/profiles/{child.profile_id}", {"name": "Me"})).json["name"] == "Me"


async def test_ids_of_others_are_refused(gateway: Deployment) -> None:
    """Every route with an id of an account, a profile, a device, a session or an upload, with that of another."""
    owner, stranger = await gateway.viewer(operator=True), await gateway.viewer(operator=True)
    title_id = await gateway.add_film("A film")
    await gateway.add_edge()
    play = await owner.call("POST", "/playback", {"title_id": title_id, "capabilities": {}})
    assert play.status == 201, play.body
    name = base64.b64encode(b"film.mp4").decode()
    upload = await owner.call(
        "POST", "/operator/uploads", Upload_Length="5", Upload_Metadata=f"filename {name}", Tus_Resumable="1.0.0"
    )
    foreign = {
        "profile_id": owner.profile_id,
        "device_id": owner.session["device_id"],
        "session_id": play.json["session_id"],
        "upload_id": upload.headers["Location"].rpartition("/")[2],
    }
    tried = 0
    for method, path, _ in OPERATIONS:
        if any(f"{{{name}}}" in path for name in foreign):
            answer = await use(gateway, method, path, stranger, **foreign)
            assert answer.status in {403, 404, 204}, (method, path, answer.body)
            tried += 1
    assert tried >= 12
    assert [profile["profile_id"] for profile in (await owner.call("GET", "/profiles")).json] == [owner.profile_id]
    assert foreign["device_id"] in [one["device_id"] for one in (await owner.call("GET", "/devices")).json]
    renewed = await owner.call("POST", f"/playback/{foreign['session_id']}/renew", {})
    assert renewed.status == 200


async def test_ended_sign_in_is_refused_where_it_matters(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    title_id = await gateway.add_film("A film")
    await gateway.add_edge()
    body = {"title_id": title_id, "capabilities": {}}
    play = (await operator.call("POST", "/playback", body)).json
    other = replace(operator)
    sign_in = {"email": operator.email, "password": PASSWORD, "device": {"name": "x"}}
    other.use(await operator.call("POST", "/auth/sign-in", sign_in))
    assert (await other.call("POST", "/auth/sign-out-everywhere")).status == 204
    assert await gateway.domains["playback"].end_revoked(account_id=operator.session["account_id"]) == 1
    licence = {"kids": [base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")]}
    for method, path, sent, headers in (
        ("GET", "/operator/jobs", None, {}),
        ("POST", "/playback", body, {}),
        ("POST", "/licences/clearkey", licence, {"X_Licence_Token": play["licence_token"]}),
    ):
        answer = await operator.call(method, path, sent, **headers)
        assert (answer.status, answer.problem) == (401, "token-rejected"), path
    manifest = await call(gateway, "GET", play["dash_path"])
    assert (manifest.status, manifest.problem) == (404, "session-not-found")
    key = await call(gateway, "GET", f"/api/v1/licences/hls/{play['licence_token']}/{'0' * 32}")
    assert (key.status, key.problem) == (403, "licence-refused")


async def test_revoked_role_is_refused_at_once(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    assert (await operator.call("GET", "/operator/jobs")).status == 200
    change = {"maturity": 12}  # a child's profile now
    assert (await operator.call("PATCH", f"/profiles/{operator.profile_id}", change)).status == 200
    answer = await operator.call("GET", "/operator/jobs")
    assert (answer.status, answer.problem) == (403, "forbidden")


async def test_missing_body_is_named(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    answer = await viewer.call("PATCH", f"/profiles/{viewer.profile_id}")
    assert answer.status == 422
    assert answer.json["faults"] == [{"field": "", "message": "This request needs a JSON body."}]
