"""The web client: built files held in memory, index.html for every page it draws itself."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get

from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.server.state import ServerSettings, get_state
from matinee.kit.hashing import sha256_hex

_CODINGS = (("br", ".br"), ("gzip", ".gz"))
# Vite names these by their content.
_IMMUTABLE = "public, max-age=31536000, immutable"
_HOST = re.compile(r"^(\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::\d+)?$", re.IGNORECASE)


class File(msgspec.Struct, frozen=True):
    """One built file and its compressed forms by content coding."""

    content_type: str
    etag: str
    body: bytes
    packed: dict[str, bytes]
    immutable: bool


class WebClient:
    """Every file below a folder by its address. What is not in the list cannot be asked for, whatever the path says."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stamp = 0
        self._files: dict[str, File] = {}

    def find(self, path: str) -> File:
        """The file at a path, or the page that draws it. Raises NoSuchPage."""
        if path in {"", "index.html"} or not self._files:
            self._reread()
        found = self._files.get(path)
        if found is None and "." not in path.rpartition("/")[2]:
            found = self._files.get("index.html")
        if found is None:
            raise NoSuchPage
        return found

    def _reread(self) -> None:
        index = self._root / "index.html"
        stamp = index.stat().st_mtime_ns if index.is_file() else 0
        if stamp != self._stamp:
            self._stamp, self._files = stamp, _read(self._root)


def _read(root: Path) -> dict[str, File]:
    paths = [path for path in root.rglob("*") if path.is_file() and path.suffix not in {".br", ".gz"}]
    return {path.relative_to(root).as_posix(): _file(root, path) for path in paths}


def _file(root: Path, path: Path) -> File:
    body = path.read_bytes()
    packed = {coding: path.with_name(path.name + suffix) for coding, suffix in _CODINGS}
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return File(
        content_type=kind,
        etag=f'"{sha256_hex(body)[:16]}"',
        body=body,
        packed={coding: packed[coding].read_bytes() for coding in packed if packed[coding].is_file()},
        immutable=path.relative_to(root).parts[0] == "assets",
    )


@get(["/", "/{path:path}"], include_in_schema=False)
async def web_client(request: Request[Any, Any, Any], path: str = "") -> Response[bytes]:
    """The web client's files and pages."""
    client: WebClient = request.app.state.web_client
    file = client.find(path.lstrip("/"))
    headers = {"ETag": file.etag, "Cache-Control": _IMMUTABLE if file.immutable else "no-cache"}
    if file.packed:
        headers["Vary"] = "Accept-Encoding"
    if file.content_type.startswith("text/html"):
        headers["Content-Security-Policy"] = policy(request.headers.get("host", ""), get_state(request).settings)
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    body = _suited(file, request.headers.get("accept-encoding", ""), headers)
    return Response(body, media_type=file.content_type, headers=headers)


def _suited(file: File, accepted: str, headers: dict[str, str]) -> bytes:
    wanted = {part.partition(";")[0].strip() for part in accepted.split(",") if "q=0" not in part.replace("q=0.", "")}
    for coding, body in file.packed.items():
        if coding in wanted:
            headers["Content-Encoding"] = coding
            return body
    return file.body


def policy(host: str, settings: ServerSettings) -> str:
    """The Content-Security-Policy of a page: our own host, and the edges that its pictures come from."""
    named = _HOST.match(host)
    scheme = "https" if settings.secure else "http"
    edges = " ".join([*([f"{scheme}://{named.group(1)}:*"] if named else []), *settings.media_sources])
    return "; ".join(
        [
            "default-src 'self'",
            f"connect-src 'self' {edges}",
            f"media-src 'self' blob: {edges}",
            f"img-src 'self' data: blob: {edges}",
            "style-src 'self' 'unsafe-inline'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )
