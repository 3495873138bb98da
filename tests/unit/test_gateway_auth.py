"""Sign-up, sign-in, refresh tokens, cookies and access control."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import msgspec
import pytest
from tests.unit.gateway_rig import PASSWORD, Deployment, call, run_gateway

from matinee.drivers.jwt import Signer

CREDENTIALS = {"email": "a@example.org", "password": PASSWORD, "device": {"name": "x"}}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path) as running:
        yield running


async def test_browser_gets_its_refresh_token_in_an_http_only_cookie(gateway: Deployment) -> None:
    body = {**CREDENTIALS, "name": "Ada"}
    answer = await call(gateway, "POST", "/api/v1/auth/sign-up", encode(body), {"Origin": gateway.url})
    assert answer.status == 200
    assert answer.json["refresh_token"] is None
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("matinee_refresh=")
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/api/v1/auth", "Max-Age="):
        assert attribute.lower() in cookie.lower()
    assert "secure" not in cookie.lower()
    assert answer.headers["Cache-Control"] == "no-store"


async def test_cookie_is_secure_with_tls(tmp_path: Path) -> None:
    async with run_gateway(tmp_path, secure=True) as gateway:
        answer = await call(gateway, "POST", "/api/v1/auth/sign-up", encode({**CREDENTIALS, "name": "Ada"}))
        assert "; secure" in answer.headers["Set-Cookie"].lower()


async def test_deployments_on_one_host_do_not_share_a_cookie(tmp_path: Path) -> None:
    """Browsers separate cookies by host, not by port."""
    async with run_gateway(tmp_path / "a", cookie="matinee_refresh_1") as one:
        cookie = (await one.viewer()).cookie
        assert cookie.startswith("matinee_refresh_1=")
        async with run_gateway(tmp_path / "b", cookie="matinee_refresh_2") as two:
            theirs = (await two.viewer()).cookie
        both = {"Cookie": f"{theirs}; {cookie}", "Origin": one.url}
        assert (await call(one, "POST", "/api/v1/auth/refresh", None, both)).status == 200


async def test_other_devices_get_the_refresh_token_in_the_body(gateway: Deployment) -> None:
    viewer = await gateway.viewer(kind="tv", profile=False)
    token = viewer.session["refresh_token"]
    assert token
    assert not viewer.cookie
    fresh = await viewer.call("POST", "/auth/refresh", {"refresh_token": token})
    assert fresh.status == 200
    assert fresh.json["refresh_token"] not in {None, token}
    assert "Set-Cookie" not in fresh.headers


@pytest.mark.parametrize("kind", ["phone", "tablet", "tv", "other"])
async def test_a_page_on_any_device_gets_the_cookie_and_never_the_token(gateway: Deployment, kind: str) -> None:
    device = {"device": {"name": "x", "kind": kind}}
    for path, body in (("sign-up", {**CREDENTIALS, **device, "name": "Ada"}), ("sign-in", {**CREDENTIALS, **device})):
        answer = await call(gateway, "POST", f"/api/v1/auth/{path}", encode(body), {"Origin": gateway.url})
        assert (answer.status, answer.json["refresh_token"]) == (200, None)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    sent = {"Cookie": cookie, "Origin": gateway.url}
    fresh = await call(gateway, "POST", "/api/v1/auth/refresh", None, sent)
    assert (fresh.status, fresh.json["refresh_token"]) == (200, None)
    assert fresh.headers["Set-Cookie"].startswith("matinee_refresh=")


async def test_a_page_gets_a_cookie_for_a_token_that_it_holds(gateway: Deployment) -> None:
    viewer = await gateway.viewer(kind="tv", profile=False)
    body = {"refresh_token": viewer.session["refresh_token"]}
    fresh = await viewer.call("POST", "/auth/refresh", body, origin=gateway.url)
    assert (fresh.status, fresh.json["refresh_token"]) == (200, None)
    assert "Set-Cookie" in fresh.headers


async def test_cookie_is_accepted_from_own_pages_only(gateway: Deployment) -> None:
    viewer = await gateway.viewer(profile=False)
    for origin, status in (
        (None, 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[::1", 403),
        (gateway.url, 200),
    ):
        answer = await viewer.call("POST", "/auth/refresh", origin=origin, Cookie=viewer.cookie)
        assert answer.status == status, origin
        if status == 403:
            assert answer.problem == "foreign-origin"
    assert answer.json["account_id"] == viewer.session["account_id"]
    for path in ("/auth/sign-in", "/auth/sign-up"):
        assert (
            await viewer.call("POST", path, {**CREDENTIALS, "name": ""}, origin="https://evil.example")
        ).status == 403


async def test_cookie_does_not_authorize_other_routes(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    answer = await call(gateway, "GET", "/api/v1/profiles", None, {"Cookie": viewer.cookie, "Origin": gateway.url})
    assert (answer.status, answer.problem) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_sign_out_ends_the_sign_in_and_deletes_the_cookie(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    out = await viewer.call("POST", "/auth/sign-out")
    assert out.status == 204
    assert "max-age=0" in out.headers["Set-Cookie"].lower()
    again = await viewer.call("POST", "/auth/refresh", origin=gateway.url, Cookie=viewer.cookie)
    assert (again.status, again.problem) == (401, "token-rejected")


async def test_sign_out_with_only_the_cookie(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    sent = {"Cookie": viewer.cookie, "Origin": gateway.url}
    assert (
        await call(gateway, "POST", "/api/v1/auth/sign-out", None, {**sent, "Origin": "https://evil"})
    ).status == 403
    assert (await call(gateway, "POST", "/api/v1/auth/sign-out", None, sent)).status == 204
    assert (await call(gateway, "POST", "/api/v1/auth/refresh", None, sent)).status == 401


async def test_sign_out_everywhere(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    again = await viewer.call("POST", "/auth/sign-in", {**CREDENTIALS, "email": viewer.email})
    assert (await viewer.call("POST", "/auth/sign-out-everywhere")).status == 204
    for cookie in (viewer.cookie, again.headers["Set-Cookie"].partition(";")[0]):
        assert (await viewer.call("POST", "/auth/refresh", origin=gateway.url, Cookie=cookie)).status == 401


async def test_changed_password_signs_this_browser_in_again(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    answer = await viewer.call("PUT", "/auth/password", {"password": "battery staple"}, origin=gateway.url)
    assert (answer.status, answer.json["profile_id"]) == (200, viewer.profile_id)
    old, new = viewer.cookie, answer.headers["Set-Cookie"].partition(";")[0]
    for cookie, status in ((old, 401), (new, 200)):
        refreshed = await viewer.call("POST", "/auth/refresh", origin=gateway.url, Cookie=cookie)
        assert refreshed.status == status


async def test_invalid_credentials_are_refused(gateway: Deployment) -> None:
    viewer = await gateway.viewer(profile=False)
    wrong = await viewer.call(
        "POST", "/auth/sign-in", {**CREDENTIALS, "email": viewer.email, "password": "not this one"}
    )
    assert (wrong.status, wrong.problem) == (401, "wrong-credentials")
    taken = await viewer.call("POST", "/auth/sign-up", {**CREDENTIALS, "email": viewer.email, "name": "B"})
    assert (taken.status, taken.problem) == (409, "email-taken")
    short = await viewer.call("POST", "/auth/sign-up", {**CREDENTIALS, "password": "x", "name": "B"})
    assert (short.status, short.problem) == (422, "invalid")
    assert short.json["faults"][0]["field"] == "password"


async def test_invalid_tokens_are_refused(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    good = viewer.session["access_token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    ours, theirs = Signer.open(gateway.folder / "tokens.pem"), Signer.open(gateway.folder / "theirs.pem")
    forged = {
        "of another key": theirs.sign(claims),
        "expired": ours.sign({**claims, "exp": int(time.time()) - 1}),
        "for another audience": ours.sign({**claims, "aud": "elsewhere"}),
        "unsigned": jwt.encode(claims, None, algorithm="none"),
        "symmetric": jwt.encode(claims, "secret" * 8, algorithm="HS256"),
        "truncated": good[:-4],
        "empty": "",
        "garbage": "é.é.é",
        "without an account": ours.sign({k: v for k, v in claims.items() if k != "sub"}),
    }
    for name, token in forged.items():
        answer = await call(gateway, "GET", "/api/v1/profiles", None, {"Authorization": f"Bearer {token}"})
        assert (answer.status, answer.problem) == (401, "unauthenticated"), name
    assert (await viewer.call("GET", "/ping")).status == 200


async def test_access_by_role(gateway: Deployment) -> None:
    anonymous, signed_in = {}, (await gateway.viewer(profile=False)).headers
    with_profile, operator = (await gateway.viewer()).headers, (await gateway.viewer(operator=True)).headers
    table = {
        ("GET", "/profiles"): (401, 200, 200, 200),
        ("GET", "/home"): (401, 403, 200, 200),
        ("GET", "/history"): (401, 403, 200, 200),
        ("GET", "/operator/jobs"): (401, 403, 403, 200),
        ("POST", "/operator/ingest"): (401, 403, 403, 422),
        ("OPTIONS", "/operator/uploads"): (401, 403, 403, 204),
    }
    for (method, path), statuses in table.items():
        for headers, status in zip((anonymous, signed_in, with_profile, operator), statuses, strict=True):
            body = b"{}" if method == "POST" else None
            assert (await call(gateway, method, f"/api/v1{path}", body, headers)).status == status, (path, status)


async def test_profiles_and_devices_belong_to_their_account(gateway: Deployment) -> None:
    viewer, stranger = await gateway.viewer(), await gateway.viewer()
    adult = viewer.profile_id
    created = await viewer.call("POST", "/profiles", {"name": "Kid", "kids": True, "maturity": 6, "pin": "1234"})
    assert created.status == 201
    kid = created.json["profile_id"]
    assert created.json["has_pin"]
    assert (await viewer.choose(kid, "0000")).problem == "wrong-pin"
    assert (await viewer.choose(kid, "1234")).json["profile_id"] == kid
    assert (await viewer.call("POST", "/auth/prove", {"password": PASSWORD})).status == 204
    changed = await viewer.call("PATCH", f"/profiles/{kid}", {"name": "Bo", "pin": ""})
    assert (changed.json["name"], changed.json["has_pin"]) == ("Bo", False)
    for method, path in (("PATCH", f"/profiles/{kid}"), ("POST", f"/profiles/{kid}/choose")):
        answer = await stranger.call(method, path, {})
        assert (answer.status, answer.problem) == (404, "profile-not-found")
    assert (await viewer.call("DELETE", f"/profiles/{kid}")).problem == "proof-required"  # it was good for one change
    assert (await viewer.call("POST", "/auth/prove", {"password": PASSWORD})).status == 204
    assert (await viewer.call("DELETE", f"/profiles/{kid}")).status == 204
    await viewer.choose(adult)
    assert (await viewer.call("POST", "/auth/prove", {"password": PASSWORD})).status == 204
    devices = (await viewer.call("GET", "/devices")).json
    assert [device["current"] for device in devices] == [True]
    answer = await stranger.call("DELETE", f"/devices/{devices[0]['device_id']}")
    assert (answer.status, answer.problem) == (404, "device-not-found")
    assert (await viewer.call("DELETE", f"/devices/{devices[0]['device_id']}")).status == 204


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)
