"""Requests that the gateway refuses whatever they ask for, and what depends on the URL that viewers open."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from tests.unit.gateway_rig import PASSWORD, call, run_gateway

from matinee.app.settings import load
from matinee.gateway.domain import GatewaySection, _build_address_settings
from matinee.gateway.server.load import LoadLimit
from matinee.mesh.hosting import addresses
from matinee.mesh.hosting.settings import BadSettings

SECRET = {"X-Matinee-Proxy": "s3cret"}
SIGN_UP = {"email": "a@example.org", "password": PASSWORD, "name": "Ada", "device": {"name": "x"}}


def build_address_settings(**environment: str) -> dict[str, Any]:
    settings = load(None, {f"MATINEE__{key.upper()}": value for key, value in environment.items()})
    return _build_address_settings(settings.of(GatewaySection), settings.deployment)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8080", 200),
        ("Films.Example.org:8443", 200),
        ("films.example.org.", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7", 200),
        ("evil.example", 421),
        ("films.example.org.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("films.example.org@evil", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
async def test_only_names_of_the_deployment_are_served(tmp_path: Path, host: str, status: int) -> None:
    async with run_gateway(tmp_path, hosts=frozenset({"films.example.org"})) as gateway:
        for path in ("/.well-known/jwks.json", "/api/v1/auth/refresh"):
            answer = await call(gateway, "GET", path, headers={"Host": host})
            assert (answer.status == 421) == (status == 421), path
        if status == 421:
            assert answer.problem == "misdirected-request"
            assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("playback", 8),
        ("playback/pse_1/renew", 8),
        ("playback/pse_1/manifest/token/manifest.mpd", 8),
        ("licences/clearkey/token", 8),
        ("auth/refresh", 8),
        ("home", 6),
        ("titles/tit_1", 6),
        ("playback/pse_1/end", 6),
        ("playback/pse_1/heartbeat", 4),
        ("playback/pse_1/beacon/token", 4),
        ("search", 6),
        ("search/reports", 4),
    ],
)
def test_what_a_viewer_waits_for_is_refused_last(path: str, accepted: int) -> None:
    load, scope = LoadLimit(8), {"type": "http", "path": f"/api/v1/{path}"}
    with contextlib.ExitStack() as requests:
        count = 0
        while load.find_refusal(scope) is None:
            requests.enter_context(load.count())
            count += 1
        assert count == accepted
    assert load.find_refusal(scope) is None


async def test_request_beyond_the_limit_is_refused_and_says_when_to_return(tmp_path: Path) -> None:
    async with run_gateway(tmp_path, concurrency=0) as gateway:
        answer = await call(gateway, "GET", "/api/v1/home")
        assert (answer.status, answer.problem, answer.headers["Retry-After"]) == (503, "overloaded", "2")


async def test_requests_that_bypass_the_proxy_are_refused(tmp_path: Path) -> None:
    async with run_gateway(tmp_path, proxy_secret="s3cret") as gateway:
        for headers in ({}, {"X-Matinee-Proxy": "guess"}, {"X-Matinee-Proxy": ""}):
            for path in ("/", "/api/v1/ping", "/.well-known/jwks.json", "/problems/invalid", "/healthz", "/metrics"):
                answer = await call(gateway, "GET", path, headers=headers)
                assert (answer.status, answer.problem) == (403, "proxy-bypassed")
        assert (await call(gateway, "GET", "/.well-known/jwks.json", headers=SECRET)).status == 200


async def test_a_page_of_the_public_url_is_not_foreign_when_the_proxy_drops_its_port(tmp_path: Path) -> None:
    settings = build_address_settings(deployment__public_url="https://films.example.org:8443")
    async with run_gateway(tmp_path, **settings) as gateway:
        own = {"Origin": "https://films.example.org:8443", "Host": "films.example.org"}
        answer = await call(gateway, "POST", "/api/v1/auth/sign-up", msgspec.json.encode(SIGN_UP), own)
        assert answer.status == 200
        assert "; secure" in answer.headers["Set-Cookie"].lower()
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        foreign = {**own, "Origin": "https://films.example.org:9000"}
        answer = await call(gateway, "POST", "/api/v1/auth/sign-in", msgspec.json.encode(SIGN_UP), foreign)
        assert answer.problem == "foreign-origin"
        answer = await call(gateway, "GET", "/.well-known/jwks.json")
        assert "Strict-Transport-Security" not in answer.headers


def test_addresses_follow_from_the_settings() -> None:
    plain = build_address_settings()
    assert (plain["secure"], plain["strict_host"], plain["hosts"]) == (False, "", {"127.0.0.1"})
    lan = build_address_settings(deployment__lan="true", deployment__host="matinee.local", gateway__hosts="tv.lan, Box")
    assert (lan["secure"], lan["strict_host"]) == (True, "")
    assert {"matinee.local", "tv.lan", "box"} <= lan["hosts"]
    public = build_address_settings(deployment__public_url="http://[fd00::2]:81")
    assert (public["secure"], public["origins"], public["strict_host"]) == (False, ("http://[fd00::2]:81",), "")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("DEPLOYMENT__PUBLIC_URL", "https://example.org/films", "not below a path"),
        ("DEPLOYMENT__PUBLIC_URL", "films.example.org", "must be like"),
        ("DEPLOYMENT__PUBLIC_URL", "https://films.example.org:99999", "must be like"),
        ("DEPLOYMENT__PUBLIC_URL", "https://user@films.example.org", "must be like"),
        ("DEPLOYMENT__LISTEN", "localhost", "must be an address"),
        ("EDGE__PUBLIC_URL", "https://cdn.example.org", "needs {edge}"),
        ("EDGE__PUBLIC_URL", "cdn/{edge}", "must be like"),
        ("GATEWAY__TRUSTED_PROXIES", "10.0.0.1/8", "has host bits set"),
        ("GATEWAY__TRUSTED_PROXIES", "proxy", "does not appear to be"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused_at_the_start(key: str, value: str, reason: str) -> None:
    with pytest.raises(BadSettings, match=reason):
        load(None, {f"MATINEE__{key}": value})


def test_a_slash_after_a_public_url_is_ignored() -> None:
    settings = build_address_settings(deployment__public_url="https://films.example.org/")
    assert settings["origins"] == ("https://films.example.org",)
    deployment = load(None, {"MATINEE__DEPLOYMENT__PUBLIC_URL": "https://films.example.org/"}).deployment
    assert addresses.front_url(deployment, 8080) == "https://films.example.org"
    assert addresses.edge_url(deployment, "", "edge-a", 8090) == "https://films.example.org/edge/edge-a"
    assert addresses.edge_url(deployment, "https://{edge}.example.org/", "edge-a", 1) == "https://edge-a.example.org"


def test_ipv6_addresses_are_written_in_brackets() -> None:
    deployment = load(None, {"MATINEE__DEPLOYMENT__LISTEN": "::1"}).deployment
    assert addresses.front_url(deployment, 8080) == "http://[::1]:8080"
    assert addresses.listen_host(deployment) == "::1"
    named = load(None, {"MATINEE__DEPLOYMENT__LISTEN": "::", "MATINEE__DEPLOYMENT__HOST": "fd00::7"}).deployment
    assert addresses.direct_url(named, 8090) == "http://[fd00::7]:8090"


def test_processes_reach_each_other_by_address() -> None:
    named = load(None, {"MATINEE__DEPLOYMENT__LAN": "true", "MATINEE__DEPLOYMENT__HOST": "matinee.local"}).deployment
    assert addresses.direct_url(named, 8090) == "https://matinee.local:8090"
    assert ip_address(urlsplit(addresses.internal_url(named, 8090)).hostname or "")


def test_trusted_proxies_are_networks() -> None:
    section = load(None, {"MATINEE__GATEWAY__TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,fd00::/8"}).of(GatewaySection)
    assert section.trusted_networks == ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8")
