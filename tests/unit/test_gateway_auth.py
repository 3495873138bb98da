"""Who gets in, as whom, and what a browser's cookie can and cannot do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import msgspec
import pytest
from tests.unit.gateway_rig import PASSWORD, Deployment, call, deployment

from matinee.drivers.jwt import Signer

ANYBODY = {"email": "a@example.org", "password": PASSWORD, "device": {"name": "x"}}


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(tmp_path) as running:
        yield running


async def test_a_browser_keeps_its_refresh_token_where_no_script_sees_it(home: Deployment) -> None:
    body = {**ANYBODY, "name": "Ada"}
    answer = await call(home, "POST", "/api/v1/auth/sign-up", jsoned(body), {"Origin": home.url})
    assert answer.status == 200
    assert answer.json["refresh_token"] is None
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("matinee_refresh=")
    for mark in ("HttpOnly", "SameSite=strict", "Path=/api/v1/auth", "Max-Age="):
        assert mark.lower() in cookie.lower()
    assert "secure" not in cookie.lower()
    assert answer.headers["Cache-Control"] == "no-store"


async def test_behind_tls_the_cookie_is_secure(tmp_path: Path) -> None:
    async with deployment(tmp_path, secure=True) as home:
        answer = await call(home, "POST", "/api/v1/auth/sign-up", jsoned({**ANYBODY, "name": "Ada"}))
        assert "; secure" in answer.headers["Set-Cookie"].lower()


async def test_another_device_gets_it_in_the_body(home: Deployment) -> None:
    viewer = await home.viewer(kind="tv", profile=False)
    token = viewer.session["refresh_token"]
    assert token
    assert not viewer.cookie
    fresh = await viewer.call("POST", "/auth/refresh", {"refresh_token": token})
    assert fresh.status == 200
    assert fresh.json["refresh_token"] not in {None, token}
    assert "Set-Cookie" not in fresh.headers


async def test_the_cookie_works_from_our_own_pages_only(home: Deployment) -> None:
    viewer = await home.viewer(profile=False)
    for origin, status in ((None, 403), ("https://evil.example", 403), ("null", 403), (home.url, 200)):
        answer = await viewer.call("POST", "/auth/refresh", origin=origin, Cookie=viewer.cookie)
        assert answer.status == status, origin
        if status == 403:
            assert answer.problem == "foreign-origin"
    assert answer.json["account_id"] == viewer.session["account_id"]
    for path in ("/auth/sign-in", "/auth/sign-up"):
        assert (await viewer.call("POST", path, {**ANYBODY, "name": ""}, origin="https://evil.example")).status == 403


async def test_the_cookie_opens_nothing_else(home: Deployment) -> None:
    viewer = await home.viewer()
    answer = await call(home, "GET", "/api/v1/profiles", None, {"Cookie": viewer.cookie, "Origin": home.url})
    assert (answer.status, answer.problem) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_signing_out_ends_the_sign_in_and_drops_the_cookie(home: Deployment) -> None:
    viewer = await home.viewer()
    out = await viewer.call("POST", "/auth/sign-out")
    assert out.status == 204
    assert "max-age=0" in out.headers["Set-Cookie"].lower()
    again = await viewer.call("POST", "/auth/refresh", origin=home.url, Cookie=viewer.cookie)
    assert (again.status, again.problem) == (401, "token-rejected")


async def test_signing_out_by_the_cookie_alone(home: Deployment) -> None:
    viewer = await home.viewer()
    sent = {"Cookie": viewer.cookie, "Origin": home.url}
    assert (await call(home, "POST", "/api/v1/auth/sign-out", None, {**sent, "Origin": "https://evil"})).status == 403
    assert (await call(home, "POST", "/api/v1/auth/sign-out", None, sent)).status == 204
    assert (await call(home, "POST", "/api/v1/auth/refresh", None, sent)).status == 401


async def test_signing_out_everywhere(home: Deployment) -> None:
    viewer = await home.viewer()
    again = await viewer.call("POST", "/auth/sign-in", {**ANYBODY, "email": viewer.email})
    assert (await viewer.call("POST", "/auth/sign-out-everywhere")).status == 204
    for cookie in (viewer.cookie, again.headers["Set-Cookie"].partition(";")[0]):
        assert (await viewer.call("POST", "/auth/refresh", origin=home.url, Cookie=cookie)).status == 401


async def test_wrong_words(home: Deployment) -> None:
    viewer = await home.viewer(profile=False)
    wrong = await viewer.call("POST", "/auth/sign-in", {**ANYBODY, "email": viewer.email, "password": "not this one"})
    assert (wrong.status, wrong.problem) == (401, "wrong-credentials")
    taken = await viewer.call("POST", "/auth/sign-up", {**ANYBODY, "email": viewer.email, "name": "B"})
    assert (taken.status, taken.problem) == (409, "email-taken")
    short = await viewer.call("POST", "/auth/sign-up", {**ANYBODY, "password": "x", "name": "B"})
    assert (short.status, short.problem) == (422, "invalid")
    assert short.json["faults"][0]["field"] == "password"


async def test_tokens_that_are_none(home: Deployment) -> None:
    viewer = await home.viewer()
    good = viewer.session["access_token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    ours, theirs = Signer.open(home.folder / "tokens.pem"), Signer.open(home.folder / "theirs.pem")
    forged = {
        "of another key": theirs.sign(claims),
        "expired": ours.sign({**claims, "exp": int(time.time()) - 1}),
        "for somebody else": ours.sign({**claims, "aud": "elsewhere"}),
        "unsigned": jwt.encode(claims, None, algorithm="none"),
        "by a password": jwt.encode(claims, "secret" * 8, algorithm="HS256"),
        "cut": good[:-4],
        "nothing": "",
        "noise": "é.é.é",
        "without an account": ours.sign({k: v for k, v in claims.items() if k != "sub"}),
    }
    for name, token in forged.items():
        answer = await call(home, "GET", "/api/v1/profiles", None, {"Authorization": f"Bearer {token}"})
        assert (answer.status, answer.problem) == (401, "unauthenticated"), name
    assert (await viewer.call("GET", "/ping")).status == 200


async def test_the_guards(home: Deployment) -> None:
    nobody, chooser = {}, (await home.viewer(profile=False)).headers
    watcher, operator = (await home.viewer()).headers, (await home.viewer(operator=True)).headers
    table = {
        ("GET", "/profiles"): (401, 200, 200, 200),
        ("GET", "/home"): (401, 403, 200, 200),
        ("GET", "/history"): (401, 403, 200, 200),
        ("GET", "/operator/jobs"): (401, 403, 403, 200),
        ("POST", "/operator/ingest"): (401, 403, 403, 422),
        ("OPTIONS", "/operator/uploads"): (401, 403, 403, 204),
    }
    for (method, path), statuses in table.items():
        for headers, status in zip((nobody, chooser, watcher, operator), statuses, strict=True):
            body = b"{}" if method == "POST" else None
            assert (await call(home, method, f"/api/v1{path}", body, headers)).status == status, (path, status)


async def test_profiles_and_devices(home: Deployment) -> None:
    viewer, stranger = await home.viewer(), await home.viewer()
    made = await viewer.call("POST", "/profiles", {"name": "Kid", "kids": True, "maturity": 6, "pin": "1234"})
    assert made.status == 201
    kid = made.json["profile_id"]
    assert made.json["has_pin"]
    assert (await viewer.choose(kid, "0000")).problem == "wrong-pin"
    assert (await viewer.choose(kid, "1234")).json["profile_id"] == kid
    changed = await viewer.call("PATCH", f"/profiles/{kid}", {"name": "Bo", "pin": ""})
    assert (changed.json["name"], changed.json["has_pin"]) == ("Bo", False)
    for method, path in (("PATCH", f"/profiles/{kid}"), ("POST", f"/profiles/{kid}/choose")):
        answer = await stranger.call(method, path, {})
        assert (answer.status, answer.problem) == (404, "profile-not-found")
    assert (await viewer.call("DELETE", f"/profiles/{kid}")).status == 204
    devices = (await viewer.call("GET", "/devices")).json
    assert [device["current"] for device in devices] == [True]
    answer = await stranger.call("DELETE", f"/devices/{devices[0]['device_id']}")
    assert (answer.status, answer.problem) == (404, "device-not-found")
    assert (await viewer.call("DELETE", f"/devices/{devices[0]['device_id']}")).status == 204


def jsoned(value: object) -> bytes:
    return msgspec.json.encode(value)
