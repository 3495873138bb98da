"""The proxy: routes, tokens and limits."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.conformance.proxy_rig import SECRET, ProxyRig, make_endpoint, open_rig
from tests.deployment import eventually, find_free_port

from matinee.drivers import envoy
from matinee.drivers.jwt import Signer
from matinee.gateway.model.proxy import build_proxy_config
from matinee.identity.api import PublicKey, PublicKeys


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ProxyRig]:
    async with open_rig(tmp_path) as opened:
        yield opened


async def test_only_the_owner_reaches_the_admin_page(rig: ProxyRig, tmp_path: Path) -> None:
    path = Path(envoy.read_admin_socket(tmp_path / "envoy"))
    mode = (await asyncio.to_thread(path.stat)).st_mode
    assert (stat.S_ISSOCK(mode), mode & 0o777) == (True, 0o600)
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession(connector=connector) as http, http.get("http://envoy/stats/prometheus") as page:
        assert page.status == 200


async def test_requests_are_routed(rig: ProxyRig) -> None:
    for path, names in (("/", "ab"), ("/titles/x", "ab"), ("/api/v1/home", "ab"), ("/art/a/b.jpg", "cd")):
        status, _, body = await rig.call("GET", path, rig.token())
        assert status == 200
        assert body["name"] in names
    for path in ("/metrics", "/healthz", "/readyz", "/rpc/identity/account", "/%2e/metrics", "//rpc/x"):
        status, headers, body = await rig.call("GET", path)
        assert (status, body["type"]) == (404, "/problems/no-such-page"), path
        assert headers["Content-Type"] == "application/problem+json"


async def test_gateway_gets_the_secret_and_the_client_address(rig: ProxyRig) -> None:
    forged = {"X-Matinee-Proxy": "guess", "X-Forwarded-For": "203.0.113.9", "X-Envoy-Max-Retries": "99"}
    await rig.call("GET", "/api/v1/auth/x", forged)
    *_, headers = max(
        (one for backend, _ in rig.gateways.values() for one in backend.requests if one[1] == "/api/v1/auth/x")
    )
    assert headers["x-matinee-proxy"] == SECRET
    # For a client on loopback Envoy appends the machine's own address; the forged one is never the last.
    assert headers["x-forwarded-for"].rpartition(",")[2].strip() not in {"", "203.0.113.9"}
    assert "x-envoy-max-retries" not in headers


def headers_at_gateway(rig: ProxyRig, path: str) -> dict[str, str]:
    """Return the headers of the last request that a gateway received."""
    requests = [one for backend, _ in rig.gateways.values() for one in backend.requests if one[1] == path]
    return requests[-1][2]


async def test_clients_behind_a_trusted_proxy_have_limits_of_their_own(rig: ProxyRig) -> None:
    """Every client of this test has the address of the proxy: 127.0.0.1."""
    client, other = ({"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.9"} for number in (1, 2))

    async def is_limited(headers: dict[str, str]) -> bool:
        return 429 in [(await rig.call("POST", "/api/v1/auth/sign-in", headers))[0] for _ in range(8)]

    trusted = ("127.0.0.0/8", "203.0.113.0/24")
    await rig.proxy.apply(rig.config(sign_ins_per_minute=3, trusted=trusted))
    await eventually(lambda: is_limited(client))
    assert (await rig.call("POST", "/api/v1/auth/sign-in", other))[0] == 200
    forged = {**client, "X-Envoy-Max-Retries": "99", "X-Envoy-Retry-On": "5xx"}
    await rig.call("GET", "/api/v1/auth/x", forged)
    headers = headers_at_gateway(rig, "/api/v1/auth/x")
    assert headers["x-forwarded-for"] == "198.51.100.1"
    assert not [name for name in headers if name.startswith("x-envoy-")]


async def test_forwarded_addresses_of_other_peers_are_ignored(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(sign_ins_per_minute=3, trusted=("203.0.113.0/24",)))
    numbers = itertools.count()

    async def is_limited() -> bool:
        headers = {"X-Forwarded-For": f"203.0.113.9, 198.51.100.{next(numbers) % 250}"}
        return 429 in [(await rig.call("POST", "/api/v1/auth/sign-in", headers))[0] for _ in range(8)]

    await eventually(is_limited)
    await rig.call("GET", "/api/v1/auth/x", {"X-Forwarded-For": "198.51.100.1"})
    assert headers_at_gateway(rig, "/api/v1/auth/x")["x-forwarded-for"] == "127.0.0.1"


async def test_proxies_that_use_http_1_0_are_answered(rig: ProxyRig) -> None:
    for host in (b"", b"Host: films.example.org\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"GET /titles/x HTTP/1.0\r\n" + host + b"\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()
        await writer.wait_closed()


async def test_one_edge_is_reached_below_its_name(rig: ProxyRig) -> None:
    edge = {"edge-c": [make_endpoint(rig.edges["c"][1])]}
    keys = PublicKeys(keys=[PublicKey(**key) for key in rig.signer.public_keys()])
    config = build_proxy_config(
        rig.settings, gateways=rig.config().clusters[0].endpoints, edges=[], keys=keys, named_edges=edge
    )
    await rig.proxy.apply(config)

    async def is_served() -> bool:
        status, _, body = await rig.call("GET", "/edge/edge-c/t/token/assets/a/v/1.m4s")
        return status == 200 and body["name"] == "c"

    await eventually(is_served)
    assert rig.edges["c"][0].requests[-1][1] == "/t/token/assets/a/v/1.m4s"
    for path in ("/edge/edge-c", "/edge/edge-x/t/a"):
        assert (await rig.call("GET", path))[2]["name"] in "ab", "the gateway answers"


async def test_ipv6_clients_are_served(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(host="::", port=(port := find_free_port())))
    for host in ("[::1]", "127.0.0.1"):

        async def is_served(url: str = f"http://{host}:{port}/api/v1/auth/x") -> bool:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with rig.http.get(url) as answer:
                    return answer.status == 200
            return False

        await eventually(is_served)
    assert headers_at_gateway(rig, "/api/v1/auth/x")["x-forwarded-for"] in {"127.0.0.1", "::1"}


async def test_proxy_verifies_tokens(rig: ProxyRig, tmp_path: Path) -> None:
    now = int(time.time())
    theirs = Signer.open(tmp_path / "theirs.pem")
    valid = {"iss": "matinee", "aud": "matinee", "sub": "acc_1", "iat": now, "exp": now + 60}
    refused = {
        "none": {},
        "garbage": {"Authorization": "Bearer x.y.z"},
        "forged": {"Authorization": f"Bearer {theirs.sign(valid)}"},
        "expired": rig.token(exp=now - 5),
        "of another deployment": rig.token(iss="elsewhere"),
        "for another": rig.token(aud="elsewhere"),
    }
    for name, headers in refused.items():
        for path in ("/api/v1/home", "/api/v1/operator/uploads", "/api/v1/auth/sign-out-everywhere"):
            status, sent, body = await rig.call("GET", path, headers)
            assert (status, body["type"]) == (401, "/problems/unauthenticated"), (name, path)
            assert sent["Content-Type"] == "application/problem+json"
    token = rig.signer.sign(valid)
    assert (await rig.call("GET", f"/api/v1/home?access_token={token}"))[0] == 401
    assert not [one for backend, _ in rig.gateways.values() for one in backend.requests if one[1].startswith("/api")]
    assert (await rig.call("GET", "/api/v1/home", rig.token()))[0] == 200
    upgrade = {**rig.token(), "Connection": "Upgrade", "Upgrade": "websocket"}
    status, _, body = await rig.call("GET", "/api/v1/home", upgrade)
    assert (status, body["type"]) == (400, "/problems/malformed-request"), "not a matter of the token"
    for path in ("/api/v1/auth/refresh", "/api/v1/playback/pls_1/manifest/t/m.mpd", "/api/v1/licences/hls/t/k"):
        assert (await rig.call("GET", path))[0] == 200
    assert (await rig.call("POST", "/api/v1/playback/pls_1/beacon/t"))[0] == 200
    assert (await rig.call("POST", "/api/v1/playback/pls_1/heartbeat"))[0] == 401


async def test_rate_limits_are_per_client(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(requests_per_minute=60, sign_ins_per_minute=3))
    numbers = itertools.count()

    async def is_limited() -> bool:
        token = rig.token(f"acc_{next(numbers)}")
        return 429 in [(await rig.call("GET", "/api/v1/home", token))[0] for _ in range(40)]

    await eventually(is_limited)
    statuses = [(await rig.call("POST", "/api/v1/auth/sign-in"))[0] for _ in range(8)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses
    status, headers, body = await rig.call("POST", "/api/v1/auth/sign-in")
    assert (status, body["type"], headers["Retry-After"]) == (429, "/problems/too-many-requests", "1")
    assert (await rig.call("POST", "/api/v1/auth/sign-up"))[0] == 429, "one limit for both"
    for path in ("/api/v1/auth/sign-out", "/api/v1/auth/sign-out-everywhere", "/api/v1/auth/refresh"):
        assert (await rig.call("POST", path, rig.token("acc_c")))[0] == 200, path
    many = [(await rig.call("GET", "/api/v1/home", rig.token("acc_a")))[0] for _ in range(40)]
    assert many[:15] == [200] * 15
    assert 429 in many
    assert (await rig.call("GET", "/api/v1/home", rig.token("acc_b")))[0] == 200
    assert (await rig.call("GET", "/"))[0] == 200


async def test_signing_out_has_a_limit_of_its_own(rig: ProxyRig) -> None:
    await rig.proxy.apply(rig.config(sign_ins_per_minute=3))

    async def is_limited() -> bool:
        return 429 in [(await rig.call("POST", "/api/v1/auth/sign-in"))[0] for _ in range(8)]

    await eventually(is_limited)
    sign_outs = [(await rig.call("POST", "/api/v1/auth/sign-out"))[0] for _ in range(80)]
    assert sign_outs[:60] == [200] * 60
    assert 429 in sign_outs


async def test_body_limit_does_not_apply_to_uploads(rig: ProxyRig) -> None:
    large = b"x" * (300 << 10)
    status, _, body = await rig.call("POST", "/api/v1/profiles", rig.token(), large)
    assert (status, body["type"]) == (413, "/problems/too-large")
    status, _, body = await rig.call("PATCH", "/api/v1/operator/uploads/upl_1", rig.token(), large * 8)
    assert (status, body["bytes"]) == (200, len(large) * 8)
