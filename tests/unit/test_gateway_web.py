"""Everything outside the API: the web client, keys, problems, the trust page, invalid requests."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yarl
from tests.unit.gateway_rig import Deployment, call, run_gateway

from matinee.gateway.server import openapi
from matinee.gateway.server.web import content_security_policy
from matinee.identity.service import IdentityService

INDEX, SCRIPT = b"<!doctype html><title>Matinee</title>", b"console.log(1)"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    write_client(tmp_path / "web")
    (tmp_path / "secret.txt").write_text("secret")
    async with run_gateway(
        tmp_path, authority_der=b"DER", authority_fingerprint="AB:CD", front_url="https://h:1"
    ) as running:
        yield running


def write_client(root: Path) -> None:
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_bytes(INDEX)
    (root / "index.html.gz").write_bytes(gzip.compress(INDEX))
    (root / "assets/app-1a2b.js").write_bytes(SCRIPT)
    (root / "assets/app-1a2b.js.br").write_bytes(b"brotli")
    (root / "assets/app-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))


async def test_pages_and_files_are_served(gateway: Deployment) -> None:
    for path in ("/", "/index.html", "/titles/tit_1", "/who-is-watching", "/sign-in?next=%2F"):
        page = await call(gateway, "GET", path)
        assert (page.status, page.body) == (200, INDEX), path
        assert page.headers["Cache-Control"] == "no-cache"
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert (page.headers["X-Frame-Options"], page.headers["X-Robots-Tag"]) == ("DENY", "noindex")
    script = await call(gateway, "GET", "/assets/app-1a2b.js")
    assert (script.body, script.headers["Cache-Control"]) == (SCRIPT, "public, max-age=31536000, immutable")
    assert script.headers["Content-Type"].startswith("text/javascript")
    for missing in ("/assets/gone.js", "/assets/gone", "/assets/", "/assets", "//assets/x", "/favicon.ico", "/a/b.png"):
        assert (await call(gateway, "GET", missing)).problem == "no-such-page"


async def test_compressed_variants_are_served_if_accepted(gateway: Deployment) -> None:
    for accepted, coding, body in (
        ("gzip, deflate, br", "br", b"brotli"),
        ("gzip", "gzip", gzip.compress(SCRIPT)),
        ("br;q=0, gzip;q=0.5", "gzip", None),
        ("identity", None, SCRIPT),
    ):
        answer = await call(gateway, "GET", "/assets/app-1a2b.js", None, {"Accept-Encoding": accepted})
        assert answer.headers.get("Content-Encoding") == coding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert body is None or len(answer.body) == len(body)


async def test_unchanged_page_is_not_sent_again(gateway: Deployment) -> None:
    first = await call(gateway, "GET", "/")
    again = await call(gateway, "GET", "/", None, {"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    (gateway.folder / "web/index.html").write_bytes(b"rebuilt")
    (gateway.folder / "web/index.html.gz").unlink()
    fresh = await call(gateway, "GET", "/", None, {"If-None-Match": first.headers["ETag"]})
    assert (fresh.status, fresh.body) == (200, b"rebuilt")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/../../secret.txt",
        "/assets/..%5c..%5csecret.txt",
        "//etc/passwd",
        "/assets/%00",
        "/assets/app-1a2b.js%00.html",
    ],
)
async def test_paths_cannot_leave_the_folder(gateway: Deployment, path: str) -> None:
    plain = {"Accept-Encoding": "identity"}
    async with gateway.http.get(yarl.URL(gateway.url + path, encoded=True), headers=plain) as answer:
        body = await answer.read()
    assert b"secret" not in body
    assert b"root:" not in body
    assert answer.status == 404 or body == INDEX


async def test_unknown_addresses_are_refused(gateway: Deployment) -> None:
    for method, path, status, kind in (
        ("GET", "/api/v1/nothing", 404, "no-such-page"),
        ("POST", "/api/v1/nothing", 404, "no-such-page"),
        ("GET", "/api/v2/home", 404, "no-such-page"),
        ("GET", "/api", 404, "no-such-page"),
        ("DELETE", "/api/v1/auth/sign-in", 405, "method-not-allowed"),
        ("POST", "/somewhere", 405, "method-not-allowed"),
        ("GET", "/problems/unheard-of", 404, "no-such-page"),
    ):
        answer = await call(gateway, method, path)
        assert (answer.status, answer.problem) == (status, kind), (method, path)


async def test_keys_description_and_problems_are_served(gateway: Deployment) -> None:
    keys = (await call(gateway, "GET", "/.well-known/jwks.json")).json["keys"]
    assert {key["alg"] for key in keys} == {"ES256"}
    assert "d" not in keys[0]
    assert (await call(gateway, "GET", "/schema/openapi.json")).body == openapi.build_document()
    page = await call(gateway, "GET", "/problems/too-large")
    assert (page.status, b"<h1>" in page.body) == (200, True)
    async with gateway.http.get(f"{gateway.internal_url}/metrics") as metrics:
        assert 'route="/.well-known/jwks.json",status="200"' in await metrics.text()


async def test_trust_page_offers_the_certificate(gateway: Deployment) -> None:
    page = await call(gateway, "GET", "/trust")
    assert page.status == 200
    assert b"AB:CD" in page.body
    assert b'href="https://h:1"' in page.body
    certificate = await call(gateway, "GET", "/trust/matinee.crt")
    assert (certificate.body, certificate.headers["Content-Type"]) == (b"DER", "application/x-x509-ca-cert")


async def test_trust_page_requires_an_authority(tmp_path: Path) -> None:
    async with run_gateway(tmp_path) as plain:
        assert (await call(plain, "GET", "/trust/matinee.crt")).problem == "no-such-page"
        assert (await call(plain, "GET", "/")).problem == "no-such-page"


class FailingIdentity(IdentityService):
    """Raises an unexpected error."""

    def __init__(self) -> None:
        pass

    async def profiles(self, **_: Any) -> Any:
        raise RuntimeError("the secret is orange")


async def test_unexpected_error_reveals_only_its_trace_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        run_gateway(tmp_path, replaced={"identity": FailingIdentity()}) as broken,
        run_gateway(tmp_path) as plain,
    ):
        viewer = await plain.viewer(profile=False)
        answer = await call(broken, "GET", "/api/v1/profiles", None, viewer.headers)
    assert (answer.status, answer.problem) == (500, "broken")
    assert set(answer.json) == {"type", "title", "status", "instance"}
    assert b"orange" not in answer.body
    out = capsys.readouterr()
    assert answer.json["instance"] == answer.headers["X-Trace-Id"]
    assert "the secret is orange" in out.out + out.err


@pytest.mark.parametrize(("secret", "expected"), [("", "127.0.0.1"), ("s3cret", "203.0.113.9")])
async def test_client_address_is_accepted_from_the_proxy_only(tmp_path: Path, secret: str, expected: str) -> None:
    addresses: list[str] = []

    class RecordingPlayback:
        async def start(self, **arguments: Any) -> Any:
            addresses.append(arguments["client_ip"])
            raise RuntimeError

    async with run_gateway(tmp_path, replaced={"playback": RecordingPlayback()}, proxy_secret=secret) as gateway:
        gateway.headers = {"X-Matinee-Proxy": secret}
        viewer = await gateway.viewer()
        body = {"title_id": "tit_1", "capabilities": {}}
        await viewer.call("POST", "/playback", body, X_Forwarded_For="203.0.113.9")
    assert addresses == [expected]


def test_host_header_cannot_loosen_the_policy() -> None:
    policy = content_security_policy(
        "deployment.local:8080", secure=False, edge_origins=["https://edge.example", "http://127.0.0.1:8090"]
    )
    assert "connect-src 'self' http://deployment.local:* https://edge.example http://127.0.0.1:8090;" in policy
    assert "https://[::1]:*" in content_security_policy("[::1]:8080", secure=True)
    for forged in ("evil; script-src *", "a b", "*", "x\r\ny", "'unsafe-eval'"):
        assert forged not in content_security_policy(forged, secure=False).replace("default-src *", "")
