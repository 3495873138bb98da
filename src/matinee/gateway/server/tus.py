"""Resumable uploads: tus 1.0.0, core with creation, termination, expiration and checksum (https://tus.io/protocols)."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from litestar import Request, Response, delete, head, patch, post, route

from matinee.gateway.api.problems import NotAcceptable, UnsupportedVersion, UploadNotFound
from matinee.gateway.model.files import metadata
from matinee.gateway.ports import Upload
from matinee.gateway.server.state import AppState, get_state, principal
from matinee.kit import ids
from matinee.kit.ids import UploadId
from matinee.kit.problem import Fault, Invalid, TooLarge

VERSION = "1.0.0"
TUS = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
KEPT = timedelta(days=2)


@route("/operator/uploads", http_method=["OPTIONS"], status_code=204, opt={"content": None})
async def upload_options(request: Request[Any, Any, Any]) -> Response[None]:
    """What this server can do."""
    return _empty(
        204,
        **{
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,termination,expiration,checksum",
            "Tus-Checksum-Algorithm": "sha1,sha256",
            "Tus-Max-Size": str(get_state(request).settings.upload_limit_bytes),
        },
    )


@post(
    "/operator/uploads",
    status_code=201,
    opt={"headers": {"Tus-Resumable": True, "Upload-Length": True, "Upload-Metadata": False}, "content": None},
)
async def create_upload(request: Request[Any, Any, Any]) -> Response[None]:
    """Begin an upload; its address comes back as `Location`."""
    deployment = _spoken(request)
    size_bytes = _number(request, "upload-length")
    if size_bytes > deployment.settings.upload_limit_bytes:
        raise TooLarge(limit_bytes=deployment.settings.upload_limit_bytes)
    now = deployment.clock.now()
    upload = await deployment.uploads.create(
        upload_id=ids.generate(UploadId, now),
        account_id=principal().account_id,
        file_name=metadata(request.headers.get("upload-metadata", "")).get("filename", ""),
        size_bytes=size_bytes,
        now=now,
    )
    return _empty(201, **_standing(upload), Location=f"/api/v1/operator/uploads/{upload.upload_id}")


@head("/operator/uploads/{upload_id:str}", status_code=200, opt={"headers": {"Tus-Resumable": True}})
async def upload_offset(request: Request[Any, Any, Any], upload_id: UploadId) -> Response[None]:
    """How much of an upload is here: `Upload-Offset` of `Upload-Length`."""
    return _empty(200, **_standing(await _own(_spoken(request), upload_id)))


@patch(
    "/operator/uploads/{upload_id:str}",
    status_code=204,
    request_max_body_size=None,
    opt={"headers": {"Tus-Resumable": True, "Upload-Offset": True, "Upload-Checksum": False}, "content": None},
)
async def append_upload(request: Request[Any, Any, Any], upload_id: UploadId) -> Response[None]:
    """Go on with an upload at its offset."""
    deployment = _spoken(request)
    if request.headers.get("content-type") != "application/offset+octet-stream":
        raise NotAcceptable(detail="Send application/offset+octet-stream.")
    await _own(deployment, upload_id)
    upload = await deployment.uploads.append(
        upload_id=upload_id,
        offset_bytes=_number(request, "upload-offset"),
        pieces=request.stream(),
        now=deployment.clock.now(),
        checksum=_checksum(request),
    )
    return _empty(204, **_standing(upload))


@delete("/operator/uploads/{upload_id:str}", status_code=204, opt={"headers": {"Tus-Resumable": True}})
async def remove_upload(request: Request[Any, Any, Any], upload_id: UploadId) -> Response[None]:
    """Give an upload up."""
    deployment = _spoken(request)
    await _own(deployment, upload_id)
    await deployment.uploads.remove(upload_id=upload_id)
    return _empty(204)


def _spoken(request: Request[Any, Any, Any]) -> AppState:
    if request.headers.get("tus-resumable") != VERSION:
        raise UnsupportedVersion
    return get_state(request)


async def _own(deployment: AppState, upload_id: UploadId) -> Upload:
    upload = await deployment.uploads.find(upload_id=upload_id)
    if upload.account_id != principal().account_id:
        raise UploadNotFound(upload_id=upload_id)
    return upload


def _number(request: Request[Any, Any, Any], header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise Invalid(faults=[Fault(header, "must be a whole number")])
    return int(value)


def _checksum(request: Request[Any, Any, Any]) -> tuple[str, bytes] | None:
    value = request.headers.get("upload-checksum")
    if value is None:
        return None
    algorithm, _, digest = value.partition(" ")
    try:
        if algorithm not in {"sha1", "sha256"}:
            raise ValueError(algorithm)
        return algorithm, base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error) as error:
        raise Invalid(faults=[Fault("upload-checksum", "must be sha1 or sha256 and a digest in base64")]) from error


def _standing(upload: Upload) -> dict[str, str]:
    expires = format_datetime(upload.touched_at + KEPT, usegmt=True)
    return {
        "Upload-Offset": str(upload.offset_bytes),
        "Upload-Length": str(upload.size_bytes),
        **({} if upload.complete else {"Upload-Expires": expires}),
    }


def _empty(status: int, **headers: str) -> Response[None]:
    return Response(content=None, status_code=status, headers={**TUS, **headers})
