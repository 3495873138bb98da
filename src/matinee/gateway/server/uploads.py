"""Resumable uploads: tus 1.0.0, core with creation, termination, expiration and checksum (https://tus.io/protocols)."""

from __future__ import annotations

import base64
from email.utils import format_datetime
from typing import Annotated, Any, TypeAlias

from litestar import Controller, Response, delete, head, patch, post, route
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromPath, HeaderParameter

from matinee.gateway.api.problems import NotAcceptable, UnsupportedVersion, UploadNotFound
from matinee.gateway.jobs import UPLOAD_TTL
from matinee.gateway.model.files import parse_metadata
from matinee.gateway.model.proxy import API
from matinee.gateway.ports import Upload
from matinee.gateway.server.body import require_rate
from matinee.gateway.server.guards import BEARER, require_operator
from matinee.gateway.server.state import AppState, HttpRequest, get_principal, get_state
from matinee.kit import ids
from matinee.kit.ids import UploadId
from matinee.kit.problem import Fault, Invalid, TooLarge

VERSION = "1.0.0"
_MAX_BYTES = 1 << 50
_Version: TypeAlias = Annotated[str, HeaderParameter(name="Tus-Resumable")]


async def require_version(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Require the supported version of the protocol. Raises UnsupportedVersion."""
    if connection.headers.get("tus-resumable") != VERSION:
        raise UnsupportedVersion


# Not in the controller: in one, Litestar answers OPTIONS itself.
@route(
    "/operator/uploads",
    http_method=["OPTIONS"],
    status_code=204,
    guards=[require_operator],
    security=BEARER,
    tags=["uploads"],
)
async def get_upload_options(request: HttpRequest) -> Response[None]:
    """Return the supported version, extensions and size."""
    return _respond(
        204,
        **{
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,termination,expiration,checksum",
            "Tus-Checksum-Algorithm": "sha1,sha256",
            "Tus-Max-Size": str(get_state(request).settings.upload_limit_bytes),
        },
    )


class UploadController(Controller):
    """Uploads of an operator."""

    tags = ("uploads",)
    guards = (require_operator,)
    security = BEARER

    @post("/operator/uploads", status_code=201, guards=[require_version])
    async def create_upload(
        self,
        request: HttpRequest,
        _version: _Version,
        size_bytes: Annotated[int, HeaderParameter(name="Upload-Length", ge=0, lt=_MAX_BYTES)],
        metadata: Annotated[str, HeaderParameter(name="Upload-Metadata")] = "",
    ) -> Response[None]:
        """Begin an upload; `Location` is its address."""
        state = get_state(request)
        if size_bytes > state.settings.upload_limit_bytes:
            raise TooLarge(limit_bytes=state.settings.upload_limit_bytes)
        now = state.clock.now()
        upload = await state.uploads.create(
            upload_id=ids.generate(UploadId, now),
            account_id=get_principal().account_id,
            file_name=parse_metadata(metadata).get("filename", ""),
            size_bytes=size_bytes,
            now=now,
        )
        return _respond(201, **_build_upload_headers(upload), Location=f"{API}/operator/uploads/{upload.upload_id}")

    @head("/operator/uploads/{upload_id:str}", status_code=200, guards=[require_version])
    async def get_upload_offset(
        self, request: HttpRequest, _version: _Version, upload_id: FromPath[UploadId]
    ) -> Response[None]:
        """Return the state of an upload: `Upload-Offset` of `Upload-Length`."""
        return _respond(200, **_build_upload_headers(await _find_own(get_state(request), upload_id)))

    @patch(
        "/operator/uploads/{upload_id:str}",
        status_code=204,
        request_max_body_size=None,
        guards=[require_version],
    )
    async def append_upload(
        self,
        request: HttpRequest,
        _version: _Version,
        upload_id: FromPath[UploadId],
        offset_bytes: Annotated[int, HeaderParameter(name="Upload-Offset", ge=0, lt=_MAX_BYTES)],
        checksum: Annotated[str | None, HeaderParameter(name="Upload-Checksum")] = None,
    ) -> Response[None]:
        """Continue an upload at its offset.

        What arrived is kept if the connection breaks, or if the body is ended because it arrives at less than 500 bytes
        a second (408).
        """
        state = get_state(request)
        if request.headers.get("content-type") != "application/offset+octet-stream":
            raise NotAcceptable(detail="Send application/offset+octet-stream.")
        await _find_own(state, upload_id)
        upload = await state.uploads.append(
            upload_id=upload_id,
            offset_bytes=offset_bytes,
            pieces=require_rate(request.stream(), state.settings.upload_rate),
            now=state.clock.now(),
            checksum=_parse_checksum(checksum),
        )
        return _respond(204, **_build_upload_headers(upload))

    @delete("/operator/uploads/{upload_id:str}", status_code=204, guards=[require_version])
    async def remove_upload(
        self, request: HttpRequest, _version: _Version, upload_id: FromPath[UploadId]
    ) -> Response[None]:
        """Cancel an upload."""
        state = get_state(request)
        await _find_own(state, upload_id)
        await state.uploads.remove(upload_id=upload_id)
        return _respond(204)


async def _find_own(state: AppState, upload_id: UploadId) -> Upload:
    upload = await state.uploads.find(upload_id=upload_id)
    if upload.account_id != get_principal().account_id:
        raise UploadNotFound(upload_id=upload_id)
    return upload


def _parse_checksum(value: str | None) -> tuple[str, bytes] | None:
    if value is None:
        return None
    algorithm, _, digest = value.partition(" ")
    try:
        if algorithm not in {"sha1", "sha256"}:
            raise ValueError(algorithm)
        return algorithm, base64.b64decode(digest, validate=True)
    except ValueError as error:
        raise Invalid(faults=[Fault("upload-checksum", "must be sha1 or sha256 and a digest in base64")]) from error


def _build_upload_headers(upload: Upload) -> dict[str, str]:
    expires = format_datetime(upload.touched_at + UPLOAD_TTL, usegmt=True)
    return {
        "Upload-Offset": str(upload.offset_bytes),
        "Upload-Length": str(upload.size_bytes),
        **({} if upload.is_complete else {"Upload-Expires": expires}),
    }


def _respond(status: int, **headers: str) -> Response[None]:
    common = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
    return Response(content=None, status_code=status, headers={**common, **headers})
