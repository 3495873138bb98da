"""Serves the web client: its built files, from memory, and index.html for every page of the client."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from matinee.gateway.api.problems import NoSuchPage
from matinee.gateway.server.state import HttpRequest, get_state
from matinee.kit.hashing import sha256_hex

_CODINGS = (("br", ".br"), ("gzip", ".gz"))
# Vite puts a hash of the content in the names of these files.
_IMMUTABLE = "public, max-age=31536000, immutable"
_HOST = re.compile(r"^(\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::\d+)?$", re.IGNORECASE)


class WebFile(msgspec.Struct, frozen=True):
    """A built file, and its compressed variants by content coding."""

    content_type: str
    etag: str
    body: bytes
    compressed: dict[str, bytes]
    immutable: bool


class WebClient:
    """The files below a folder, by path. Only files read in advance are served, so no path can leave the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modified_ns = 0
        self._files: dict[str, WebFile] = {}
        self._folders: set[str] = set()

    def find(self, path: str) -> WebFile:
        """Return the file at a path, or index.html for a page of the client. Raises NoSuchPage."""
        if path in {"", "index.html"} or not self._files:
            self._read_if_changed()
        found = self._files.get(path) or (self._files.get("index.html") if self._is_page(path) else None)
        if found is None:
            raise NoSuchPage
        return found

    def _is_page(self, path: str) -> bool:
        """Return whether a path is a page of the client: it names neither a file nor anything in a built folder."""
        return "." not in path.rpartition("/")[2] and path.partition("/")[0] not in self._folders

    def _read_if_changed(self) -> None:
        index = self._root / "index.html"
        modified_ns = index.stat().st_mtime_ns if index.is_file() else 0
        if modified_ns != self._modified_ns:
            self._modified_ns, self._files = modified_ns, _read_folder(self._root)
            self._folders = {path.partition("/")[0] for path in self._files if "/" in path}


def _read_folder(root: Path) -> dict[str, WebFile]:
    paths = [path for path in root.rglob("*") if path.is_file() and path.suffix not in {".br", ".gz"}]
    return {path.relative_to(root).as_posix(): _read_file(root, path) for path in paths}


def _read_file(root: Path, path: Path) -> WebFile:
    body = path.read_bytes()
    variants = {coding: path.with_name(path.name + suffix) for coding, suffix in _CODINGS}
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return WebFile(
        content_type=content_type,
        etag=f'"{sha256_hex(body)[:16]}"',
        body=body,
        compressed={coding: variant.read_bytes() for coding, variant in variants.items() if variant.is_file()},
        immutable=path.relative_to(root).parts[0] == "assets",
    )


@get(["/", "/{path:path}"], include_in_schema=False)
async def serve_web_client(request: HttpRequest, path: FromPath[str] = "") -> Response[bytes]:
    """Return a file or a page of the web client."""
    client: WebClient = request.app.state.web_client
    file = client.find(path.lstrip("/"))
    headers = {"ETag": file.etag, "Cache-Control": _IMMUTABLE if file.immutable else "no-cache"}
    if file.compressed:
        headers["Vary"] = "Accept-Encoding"
    if file.content_type.startswith("text/html"):
        state = get_state(request)
        headers["Content-Security-Policy"] = content_security_policy(
            request.headers.get("host", ""), secure=state.settings.secure, edge_origins=state.edge_origins()
        )
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    body = _select_body(file, request.headers.get("accept-encoding", ""), headers)
    return Response(body, media_type=file.content_type, headers=headers)


def _select_body(file: WebFile, accept_encoding: str, headers: dict[str, str]) -> bytes:
    wanted = {
        part.partition(";")[0].strip() for part in accept_encoding.split(",") if "q=0" not in part.replace("q=0.", "")
    }
    for coding, body in file.compressed.items():
        if coding in wanted:
            headers["Content-Encoding"] = coding
            return body
    return file.body


def content_security_policy(host: str, *, secure: bool, edge_origins: Sequence[str] = ()) -> str:
    """Return the policy of a page: the own host, and the edges as sources of pictures and video.

    Any port of the own host is a source, so that a page can use an edge that started after it was loaded.
    """
    named = _HOST.match(host)
    scheme = "https" if secure else "http"
    edges = " ".join([*([f"{scheme}://{named.group(1)}:*"] if named else []), *edge_origins])
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
