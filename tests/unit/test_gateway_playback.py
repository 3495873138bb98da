"""Playback through the public API: sessions, beacons, manifests, licences, and refusals."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
import pytest
from tests.unit.gateway_rig import Deployment, Viewer, call, run_gateway

ANY: dict[str, Any] = {"capabilities": {}}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path) as running:
        await running.add_edge()
        yield running


def heartbeat(position_ms: int = 1000, state: str = "playing") -> dict[str, Any]:
    return {"position_ms": position_ms, "state": state, "at": datetime.now(UTC).isoformat()}


async def start_session(viewer: Viewer) -> dict[str, Any]:
    film = await viewer.deployment.add_film("Film")
    answer = await viewer.call("POST", "/playback", {"title_id": film, **ANY})
    assert answer.status == 201, answer.body
    session: dict[str, Any] = answer.json
    return session


async def test_session_from_start_to_end(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    session = await start_session(viewer)
    base = f"/playback/{session['session_id']}"
    assert session["deliveries"]
    manifest = await call(gateway, "GET", session["dash_path"])
    assert (manifest.status, manifest.headers["Content-Type"]) == (200, "application/dash+xml")
    assert b"<MPD" in manifest.body
    assert (await call(gateway, "GET", session["hls_path"])).body.startswith(b"#EXTM3U")
    assert (await viewer.call("POST", f"{base}/heartbeat", heartbeat(20_000))).status == 204
    assert (await viewer.call("POST", f"{base}/renew", {"failed": ["edg_x"]})).json["deliveries"]
    assert (await viewer.call("POST", f"{base}/renew")).status == 200
    body = msgspec.json.encode(heartbeat(31_000))
    plain = await call(gateway, "POST", session["beacon_path"], body, {"Content-Type": "text/plain;charset=UTF-8"})
    assert plain.status == 204
    assert (await viewer.call("POST", f"{base}/end", heartbeat(32_000, "ended"))).status == 204
    again = await viewer.call("POST", "/playback", {"title_id": session["title_id"], **ANY})
    assert 30_000 <= again.json["resume_ms"] <= 32_000
    assert (await viewer.call("POST", "/playback", {"title_id": session["title_id"], "from_start": True, **ANY})).json[
        "resume_ms"
    ] == 0


async def test_sessions_belong_to_their_viewer(gateway: Deployment) -> None:
    session = await start_session(await gateway.viewer())
    stranger = await gateway.viewer()
    for path, body in (("heartbeat", heartbeat()), ("renew", {}), ("end", heartbeat())):
        answer = await stranger.call("POST", f"/playback/{session['session_id']}/{path}", body)
        assert (answer.status, answer.problem) == (404, "session-not-found"), path


async def test_paths_with_invalid_tokens_are_refused(gateway: Deployment) -> None:
    session = await start_session(await gateway.viewer())
    other = await start_session(await gateway.viewer())
    for path in ("dash_path", "hls_path"):
        parts, wrong = session[path].split("/"), other[path].split("/")
        token = next(place for place, part in enumerate(parts) if part == "manifest") + 1
        for forged in (wrong[token], "x", "0-0", parts[token][:-1]):
            parts[token] = forged
            answer = await call(gateway, "GET", "/".join(parts))
            assert (answer.status, answer.problem) == (403, "link-expired")
    head, _, _ = session["beacon_path"].rpartition("/")
    answer = await call(gateway, "POST", f"{head}/nonsense", msgspec.json.encode(heartbeat()))
    assert (answer.status, answer.problem) == (403, "link-expired")
    for body, status in ((b"{", 400), (b"{}", 422), (b"\xff", 400), (b"", 422)):
        assert (await call(gateway, "POST", session["beacon_path"], body)).status == status


async def test_licences_require_a_valid_token(gateway: Deployment) -> None:
    viewer, stranger = await gateway.viewer(), await gateway.viewer()
    session = await start_session(viewer)
    keys = await gateway.domains["licensing"].ensure_content_keys(asset_id=session["asset_id"], labels=("AUDIO", "SD"))
    kids = [base64.urlsafe_b64encode(bytes.fromhex(key.key_id)).rstrip(b"=").decode() for key in keys]
    licence_token = {"X_Licence_Token": session["licence_token"]}
    licence = await viewer.call("POST", "/licences/clearkey", {"kids": kids}, **licence_token)
    assert licence.status == 200
    assert {key["kid"] for key in licence.json["keys"]} == set(kids)
    assert licence.headers["Cache-Control"] == "no-store"
    for caller, headers in ((viewer, {"X_Licence_Token": "forged"}), (stranger, licence_token)):
        answer = await caller.call("POST", "/licences/clearkey", {"kids": kids}, **headers)
        assert (answer.status, answer.problem) == (403, "licence-refused")
    without = await viewer.call("POST", "/licences/clearkey", {"kids": kids})
    assert without.status == 422
    assert "X-Licence-Token" in without.json["faults"][0]["message"]
    assert (await viewer.call("POST", "/licences/clearkey", {"kids": ["AAAA"]}, **licence_token)).status in {403, 404}
    path = f"/api/v1/licences/hls/{session['licence_token']}/{keys[0].key_id}"
    key = await call(gateway, "GET", path)
    assert (key.status, key.body) == (200, bytes.fromhex(keys[0].key))
    assert (await call(gateway, "GET", f"/api/v1/licences/hls/x/{keys[0].key_id}")).problem == "licence-refused"


async def test_pages_of_other_origins_get_manifests_and_licences_by_their_links(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    session = await start_session(viewer)
    manifest = await call(gateway, "GET", session["dash_path"])
    laurl = re.findall(r"<dashif:Laurl>([^<]+)<", manifest.body.decode())[0]
    assert urlsplit(laurl).netloc == urlsplit(gateway.url).netloc
    keys = await gateway.domains["licensing"].ensure_content_keys(asset_id=session["asset_id"], labels=("SD",))
    kids = [base64.urlsafe_b64encode(bytes.fromhex(key.key_id)).rstrip(b"=").decode() for key in keys]
    body = msgspec.json.encode({"kids": kids, "type": "temporary"})
    for path in (urlsplit(laurl).path, session["clearkey_path"]):
        # hls.js names no media type.
        licence = await call(gateway, "POST", path, body, {"Content-Type": "application/octet-stream"})
        assert (licence.status, {key["kid"] for key in licence.json["keys"]}) == (200, set(kids))
    head, _, _ = session["clearkey_path"].rpartition("/")
    refused = await call(gateway, "POST", f"{head}/forged", body)
    assert (refused.status, refused.problem) == (403, "licence-refused")
    for path in (session["dash_path"], session["hls_path"], session["clearkey_path"]):
        answer = await call(gateway, "OPTIONS", path)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*"), path
        assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    for answer in (manifest, licence, refused):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    own = await viewer.call("GET", "/profiles")
    assert "Access-Control-Allow-Origin" not in own.headers


async def test_licence_server_of_a_manifest_is_where_the_player_reaches_the_gateway(tmp_path: Path) -> None:
    settings = {"origins": ("https://tv.example",), "hosts": frozenset({"tv.example", "other.example"})}
    async with run_gateway(tmp_path, proxy_secret="secret", **settings) as gateway:
        gateway.headers["X-Matinee-Proxy"] = "secret"
        await gateway.add_edge()
        session = await start_session(await gateway.viewer())
        for host, scheme, expected in (
            ("tv.example", "http", "https://tv.example"),  # a reverse proxy has the certificate
            ("TV.example", "https", "https://tv.example"),
            ("other.example", "https", "https://other.example"),
            ("127.0.0.1:9", "http", "http://127.0.0.1:9"),
            ("127.0.0.1:9", "javascript", "http://127.0.0.1:9"),
        ):
            sent = {"Host": host, "X-Forwarded-Proto": scheme}
            manifest = await call(gateway, "GET", session["dash_path"], headers=sent)
            assert f"<dashif:Laurl>{expected}/api/v1/licences/clearkey/" in manifest.body.decode()


async def test_manifests_answer_head_requests_and_are_compressed(gateway: Deployment) -> None:
    session = await start_session(await gateway.viewer())
    for path in (session["dash_path"], session["hls_path"]):
        full = await call(gateway, "GET", path)
        head = await call(gateway, "HEAD", path)
        assert (head.status, head.body, head.headers["Content-Type"]) == (200, b"", full.headers["Content-Type"])
        packed = await call(gateway, "GET", path, headers={"Accept-Encoding": "gzip"})
        if len(full.body) >= 1_400:  # a shorter one fits into a packet
            assert packed.headers["Content-Encoding"] == "gzip", path
            assert packed.headers["Vary"] == "Accept-Encoding"
            assert len(gzip.decompress(packed.body)) == len(full.body)
    assert len((await call(gateway, "GET", session["dash_path"])).body) >= 1_400


async def test_key_format_of_hls_is_chosen_by_query(gateway: Deployment) -> None:
    session = await start_session(await gateway.viewer())
    for path, key_format in (("hls_path", "identity"), ("hls_clearkey_path", "org.w3.clearkey")):
        master = (await call(gateway, "GET", session[path])).body.decode()
        uri = next(line for line in master.splitlines() if line and not line.startswith("#"))
        playlist = (await call(gateway, "GET", urljoin(session[path], uri))).body.decode()
        assert f'KEYFORMAT="{key_format}"' in playlist
    unknown = session["hls_path"] + "?keys=fairplay"
    assert (await call(gateway, "GET", unknown)).status == 422


async def test_unplayable_titles_are_refused(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    mature = await gateway.add_film("Mature", maturity=18)
    kid = (await viewer.call("POST", "/profiles", {"name": "Kid", "maturity": 6})).json["profile_id"]
    await viewer.choose(kid)
    assert (await viewer.call("POST", "/playback", {"title_id": mature, **ANY})).problem == "too-mature"
    assert (await viewer.call("POST", "/playback", {"title_id": "tit_x", **ANY})).problem == "title-not-found"


async def test_invalid_bodies_are_refused(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    for body, status, kind in (
        (b"{", 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b'{"title_id": "\xff", "capabilities": {}}', 400, "malformed"),
        (b"[]", 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"title_id": 7, "capabilities": {}}', 422, "invalid"),
        (b'{"title_id": "t", "capabilities": {"max_height_px": "tall"}}', 422, "invalid"),
        (b"", 422, "invalid"),
        (b'{"title_id": "' + b"x" * 400_000 + b'"}', 413, "too-large"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"x": ' + b"9" * 10_000 + b"}", 422, "invalid"),
        (b'{"title_id": "t", "capabilities": {}, "title_id": "u"}', 400, "duplicate-key"),
        (b'{"title_id": "t", "capabilities": {"x": [{"y": 1, "\\u0079" : 2}]}}', 400, "duplicate-key"),
    ):
        answer = await viewer.call("POST", "/playback", body)
        assert (answer.status, answer.problem) == (status, kind), body[:40]
        assert answer.json["instance"].startswith("trc_")
    faults = (await viewer.call("POST", "/playback", b'{"title_id": 7, "capabilities": {}}')).json["faults"]
    assert faults[0]["field"] == "title_id"
    assert "str" in faults[0]["message"]
