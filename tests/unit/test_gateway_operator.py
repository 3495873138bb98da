"""The operator's routes: tus uploads, ingest, jobs, titles, services, edges."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import msgspec
import pytest
from tests.unit.gateway_rig import CLOCK, DRAMA, Deployment, HttpResponse, Viewer, run_gateway

from matinee.catalogue.api import TitleDraft
from matinee.kit import ids
from matinee.kit.ids import JobId, TitleId

TUS = {"Tus_Resumable": "1.0.0"}
PIECE = {**TUS, "Content_Type": "application/offset+octet-stream"}
NAME = 'L\'été "final" 🎬.mp4'


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path, upload_limit_bytes=1 << 30) as running:
        yield running


def metadata_of(name: str) -> str:
    return f"filename {base64.b64encode(name.encode()).decode()},filetype {base64.b64encode(b'video/mp4').decode()}"


def write_film(path: Path) -> bytes:
    options = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=24:duration=1",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *options, str(path)], check=True)
    return path.read_bytes()


async def begin_upload(operator: Viewer, size: int, name: str = NAME) -> HttpResponse:
    answer = await operator.call(
        "POST", "/operator/uploads", Upload_Length=str(size), Upload_Metadata=metadata_of(name), **TUS
    )
    assert answer.status == 201, answer.body
    return answer


async def upload(operator: Viewer, data: bytes, name: str = NAME) -> str:
    where = (await begin_upload(operator, len(data), name)).headers["Location"].removeprefix("/api/v1")
    assert (await operator.call("PATCH", where, data, Upload_Offset="0", **PIECE)).status == 204
    return str(where.rpartition("/")[2])


async def test_upload_in_pieces(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    options = await operator.call("OPTIONS", "/operator/uploads")
    assert (options.headers["Tus-Version"], options.headers["Tus-Max-Size"]) == ("1.0.0", str(1 << 30))
    assert "creation" in options.headers["Tus-Extension"]
    created = await begin_upload(operator, 6)
    where = created.headers["Location"].removeprefix("/api/v1")
    assert created.headers["Upload-Expires"].endswith("GMT")
    for offset, piece in ((0, b"ab"), (2, b"cdef")):
        state = await operator.call("HEAD", where, **TUS)
        assert (state.status, state.headers["Upload-Offset"], state.headers["Upload-Length"]) == (
            200,
            str(offset),
            "6",
        )
        assert state.headers["Cache-Control"] == "no-store"
        answer = await operator.call("PATCH", where, piece, Upload_Offset=str(offset), **PIECE)
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(offset + len(piece)))
    assert (await operator.call("DELETE", where, **TUS)).status == 204
    assert (await operator.call("HEAD", where, **TUS)).status == 404


async def test_invalid_tus_requests_are_refused(gateway: Deployment) -> None:
    operator, other = await gateway.viewer(operator=True), await gateway.viewer(operator=True)
    where = (await begin_upload(operator, 6)).headers["Location"].removeprefix("/api/v1")
    old = await operator.call("PATCH", where, b"ab", Upload_Offset="0", **{**PIECE, "Tus_Resumable": "0.2.2"})
    assert (old.status, old.problem) == (412, "unsupported-version")
    kind = await operator.call("PATCH", where, b"ab", Upload_Offset="0", **TUS)
    assert (kind.status, kind.problem) == (415, "not-acceptable")
    ahead = await operator.call("PATCH", where, b"ab", Upload_Offset="3", **PIECE)
    assert (ahead.status, ahead.json["offset_bytes"]) == (409, 0)
    over = await operator.call("PATCH", where, b"too much", Upload_Offset="0", **PIECE)
    assert (over.status, over.problem) == (413, "too-large")
    wrong = base64.b64encode(b"0" * 20).decode()
    summed = await operator.call("PATCH", where, b"ab", Upload_Offset="0", Upload_Checksum=f"sha1 {wrong}", **PIECE)
    assert (summed.status, summed.problem) == (460, "checksum-mismatch")
    digest = base64.b64encode(hashlib.sha1(b"ab").digest()).decode()
    assert (
        await operator.call("PATCH", where, b"ab", Upload_Offset="0", Upload_Checksum=f"sha1 {digest}", **PIECE)
    ).status == 204
    for headers in ({"Upload_Checksum": "md5 AAAA"}, {"Upload_Checksum": "sha1 %%"}, {"Upload_Offset": "-1"}):
        answer = await operator.call("PATCH", where, b"ab", **{"Upload_Offset": "2", **headers}, **PIECE)
        assert (answer.status, answer.problem) == (422, "invalid")
    for size, status in ((str(2 << 30), 413), ("-1", 422), ("many", 422), ("", 422)):
        assert (await operator.call("POST", "/operator/uploads", Upload_Length=size, **TUS)).status == status
    for call in ("HEAD", "DELETE"):
        assert (await other.call(call, where, **TUS)).status == 404
    assert (await other.call("PATCH", where, b"cd", Upload_Offset="2", **PIECE)).problem == "upload-not-found"
    assert (await operator.call("HEAD", "/operator/uploads/..%2f..%2fetc", **TUS)).status == 404
    assert (await operator.call("HEAD", where, **TUS)).headers["Upload-Offset"] == "2"


async def test_uploads_may_exceed_the_body_limit(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    data = b"0123456789abcdef" * 100_000
    upload_id = await upload(operator, data)
    assert await read_upload(gateway, upload_id) == data


async def read_upload(gateway: Deployment, upload_id: str) -> bytes:
    return (gateway.folder / "uploads" / upload_id / NAME).read_bytes()


async def test_ingest_creates_a_title_and_a_job(gateway: Deployment, tmp_path: Path) -> None:
    operator = await gateway.viewer(operator=True)
    upload_id = await upload(operator, write_film(tmp_path / "film.mp4"))
    body = {"upload_id": upload_id, "name": " Night Bus ", "genre_ids": ["slow-cinema"], "year": 2024, "language": "fr"}
    first, second = [await operator.call("POST", "/operator/ingest", body) for _ in range(2)]
    assert (first.status, first.json) == (202, second.json)
    titles = (await operator.call("GET", "/operator/titles")).json["items"]
    assert [(title["names"], title["state"], title["year"]) for title in titles] == [
        ({"fr": "Night Bus"}, "draft", 2024)
    ]
    assert (titles[0]["playable"], titles[0]["episodes"]) == (False, [])
    title = (await operator.call("GET", f"/operator/titles/{first.json['title_id']}")).json
    assert title["genres"] == [{"genre_id": "slow-cinema", "names": {"en": "Slow cinema"}}]
    jobs = (await operator.call("GET", "/operator/jobs?state=queued")).json["items"]
    assert [(job["job_id"], job["file_name"], job["order"]["consume"]) for job in jobs] == [
        (first.json["job_id"], NAME, True)
    ]
    job = f"/operator/jobs/{first.json['job_id']}"
    assert (await operator.call("POST", f"{job}/cancel")).json["state"] == "cancelled"
    assert (await operator.call("POST", f"{job}/retry")).json["state"] == "queued"
    unknown = ids.generate(JobId, CLOCK.now())
    assert (await operator.call("POST", f"/operator/jobs/{unknown}/retry")).problem == "job-not-found"
    assert (await operator.call("GET", "/operator/jobs?state=odd")).status == 422
    assert (await operator.call("POST", f"/operator/titles/{first.json['title_id']}/publish")).problem == "not-playable"


async def test_file_that_was_ingested_before_is_refused(gateway: Deployment, tmp_path: Path) -> None:
    operator = await gateway.viewer(operator=True)
    film = write_film(tmp_path / "film.mp4")
    one, two = await upload(operator, film), await upload(operator, film, "copy.mp4")
    first = (await operator.call("POST", "/operator/ingest", {"upload_id": one, "name": "Night Bus"})).json
    refused = await operator.call("POST", "/operator/ingest", {"upload_id": two, "name": "Late Bus"})
    assert (refused.status, refused.problem) == (409, "already-ingested")
    assert (refused.json["title_id"], refused.json["name"]) == (first["title_id"], "Night Bus")
    assert refused.json["detail"].startswith(f"copy.mp4 is already “Night Bus” ({first['title_id']}).")
    assert len((await operator.call("GET", "/operator/titles")).json["items"]) == 1
    same = await operator.call("POST", "/operator/ingest", {"upload_id": one, "title_id": first["title_id"]})
    assert (same.status, same.json) == (202, first)
    again = await operator.call("POST", "/operator/ingest", {"upload_id": two, "name": "Late Bus", "again": True})
    assert again.status == 202
    assert again.json["title_id"] != first["title_id"]


async def test_file_of_a_cancelled_job_can_be_ingested_again(gateway: Deployment, tmp_path: Path) -> None:
    operator = await gateway.viewer(operator=True)
    film = write_film(tmp_path / "film.mp4")
    one, two = await upload(operator, film), await upload(operator, film, "copy.mp4")
    first = (await operator.call("POST", "/operator/ingest", {"upload_id": one})).json
    await operator.call("POST", f"/operator/jobs/{first['job_id']}/cancel")
    assert (await operator.call("POST", "/operator/ingest", {"upload_id": two})).status == 202


async def test_refused_files_leave_no_title(gateway: Deployment) -> None:
    operator, other = await gateway.viewer(operator=True), await gateway.viewer(operator=True)
    text = await upload(operator, b"just text", "notes.txt")
    refused = await operator.call("POST", "/operator/ingest", {"upload_id": text})
    assert (refused.status, refused.problem, refused.json["file"]) == (422, "unusable", "notes.txt")
    half = (await begin_upload(operator, 9)).headers["Location"].rpartition("/")[2]
    assert (await operator.call("POST", "/operator/ingest", {"upload_id": half})).problem == "upload-unfinished"
    assert (await other.call("POST", "/operator/ingest", {"upload_id": text})).problem == "upload-not-found"
    assert (await operator.call("POST", "/operator/ingest", {"upload_id": "../x"})).problem == "upload-not-found"
    assert (await operator.call("GET", "/operator/titles")).json["items"] == []


async def test_titles_can_be_created_published_and_withdrawn(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    title_id = ids.generate(TitleId, CLOCK.now())
    draft = TitleDraft(title_id=title_id, kind="film", names={"en": "Made"}, original_language="en", genres=[DRAMA])
    body: dict[str, Any] = msgspec.to_builtins(draft)
    assert (await operator.call("PUT", f"/operator/titles/{title_id}", body)).json["state"] == "draft"
    elsewhere = await operator.call("PUT", f"/operator/titles/{ids.generate(TitleId, CLOCK.now())}", body)
    assert (elsewhere.status, elsewhere.json["faults"][0]["field"]) == (422, "title_id")
    assert (await operator.call("POST", f"/operator/titles/{title_id}/publish")).problem == "not-playable"
    await gateway.attach_asset(title_id)
    assert (await operator.call("POST", f"/operator/titles/{title_id}/publish")).json["state"] == "published"
    assert (await operator.call("POST", f"/operator/titles/{title_id}/withdraw")).json["state"] == "withdrawn"


async def test_services_and_edges_are_listed(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    edge_id = await gateway.add_edge()
    assert (await operator.call("GET", "/operator/services")).json[0]["service"] == "gateway"
    assert [edge["report"]["name"] for edge in (await operator.call("GET", "/operator/edges")).json] == ["edge-a"]
    drained = await operator.call("POST", f"/operator/edges/{edge_id}/drain", {"draining": True})
    assert drained.json["health"] == "draining"
    assert (await operator.call("POST", "/operator/edges/edg_x/drain", {"draining": True})).problem == "edge-not-found"
