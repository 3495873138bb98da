"""Malformed headers, cursors and paths: no answer of the gateway is a server error, and none takes long."""

from __future__ import annotations

import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.gateway_rig import Deployment, Viewer, call, run_gateway

LIMIT_S = 2.0
TUS = {"Tus_Resumable": "1.0.0"}


def to_cursor(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()


CURSORS = [
    "%00",
    "%ED%B2%80",
    "%FF",
    "%0d%0aX",
    "%F0%9F%8E%AC",
    "9" * 300,
    "a" * 7_000,
    to_cursor(b"[" + b"9" * 150 + b',["a"]]'),
    to_cursor(b'[1,["\\ud800"]]'),
    to_cursor(b'[1,["a\\u0000"]]'),
    to_cursor(b"[" * 200),
]
PATHS = [
    "/history?cursor={}",
    "/operator/jobs?cursor={}",
    "/operator/jobs?state={}",
    "/operator/titles?cursor={}",
    "/genres/drama?cursor={}",
    "/genres/{}",
    "/browse?initial={}",
    "/titles/{}",
    "/playback/{0}/manifest/{0}/a.mpd",
    "/licences/hls/{0}/{0}",
]
HEADERS = {
    "Authorization": [
        "Bearer " + "a" * 8_000,
        "Bearer a.b.c",
        f"Bearer {to_cursor(b'[' * 700)}.e30.x",
        "Bearer " + to_cursor(b'{"alg":"none"}') + ".e30.",
        "Bearer " + to_cursor(b'{"alg":"ES256","kid":{"a":1}}') + ".e30.x",
    ],
    "Cookie": ["a" * 8_000, ";" * 4_000, 'matinee_refresh="', "matinee_refresh=" + "x" * 7_000, 'a="\\' + "1" * 3_000],
    "traceparent": ["0" * 5_000, f"00-{'a' * 32}-{'b' * 16}-01" + "-x" * 2_000],
    "Accept-Encoding": ["gzip;q=" + "9" * 5_000, ",".join(["gzip;q=nan"] * 500)],
    "Origin": ["http://[::1", "http://a:99999999999", "http://" + "[" * 2_000],
    "Host": ["[::1", "a" * 2_000, "a:b:c", "[" * 500, "a:" + "9" * 500],
    "If-None-Match": ['"' * 3_000],
    "Content-Type": ["multipart/form-data", "multipart/form-data; boundary=" + "a" * 3_000, ";" * 3_000],
}
UPLOADS = {
    "Upload_Length": ["9" * 5_000, "1_000", "0x10", "-1", "many"],
    "Upload_Metadata": [
        "filename " + "A" * 8_000,
        "filename %%%",
        ", ,",
        "filename " + b64encode(b"\xff\xfe\0/../..").decode(),
        "filename " + b64encode(b"\0" * 500).decode(),
        "a b," * 2_000,
    ],
}
PIECES = {
    "Upload_Offset": ["9" * 5_000, "-1", "x"],
    "Upload_Checksum": ["sha1 " + "A" * 8_000, "sha1", "sha1  ", "md5 x"],
}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path, upload_limit_bytes=1 << 30) as running:
        yield running


@pytest.fixture
async def operator(gateway: Deployment) -> Viewer:
    return await gateway.viewer(operator=True)


async def test_malformed_cursors_and_paths_are_refused(operator: Viewer) -> None:
    for path in PATHS:
        for value in CURSORS:
            started_s = time.monotonic()
            answer = await operator.call("GET", path.format(value))
            assert (answer.status < 500, time.monotonic() - started_s < LIMIT_S) == (True, True), (path, value[:40])


async def test_malformed_headers_are_refused_or_ignored(gateway: Deployment, operator: Viewer) -> None:
    for name, values in HEADERS.items():
        for value in values:
            for method, path, body in (("GET", "/api/v1/home", None), ("POST", "/api/v1/auth/refresh", b"{}")):
                started_s = time.monotonic()
                answer = await call(gateway, method, path, body, {**operator.headers, name: value})
                assert (answer.status < 500, time.monotonic() - started_s < LIMIT_S) == (True, True), (name, value[:40])


async def test_malformed_headers_of_uploads_are_refused(operator: Viewer) -> None:
    for name, values in UPLOADS.items():
        for value in values:
            headers = {"Upload_Length": "5", name: value}
            answer = await operator.call("POST", "/operator/uploads", **headers, **TUS)
            assert answer.status in ((422,) if name == "Upload_Length" else (201,)), (name, value[:40])
    where = (await operator.call("POST", "/operator/uploads", Upload_Length="5", **TUS)).headers["Location"]
    for name, values in PIECES.items():
        for value in values:
            headers = {"Upload_Offset": "0", "Content_Type": "application/offset+octet-stream", name: value}
            answer = await operator.call("PATCH", where.removeprefix("/api/v1"), b"a", **headers, **TUS)
            assert 400 <= answer.status < 500, (name, value[:40])
