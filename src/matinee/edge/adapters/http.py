"""Another edge as upstream, so that edges can form tiers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import aiohttp

from matinee.edge.ports import ObjectMeta, ObjectMissing
from matinee.kit import context
from matinee.kit.clock import Clock
from matinee.kit.hashing import mint_path_token
from matinee.kit.tracing import format_traceparent

_TOKEN_TTL_S = 300
_PIECE_BYTES = 256 << 10


class HttpUpstream:
    """The next edge towards the origin. `key` signs the requests to it."""

    def __init__(self, url: str, *, key: bytes, clock: Clock, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def open(self, key: str, *, start: int = 0) -> tuple[ObjectMeta, AsyncIterator[bytes]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, auto_decompress=False)
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        if trace_id := context.current().trace_id:
            headers["traceparent"] = format_traceparent(trace_id)
        response = await self._session.get(
            f"{self._url}{self._build_path(key)}", headers=headers, allow_redirects=False
        )
        if response.status != (206 if start else 200):
            response.release()
            raise ObjectMissing(key) if response.status == 404 else ConnectionError(f"HTTP status {response.status}")
        return _parse_meta(key, start, response), _read_pieces(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _build_path(self, key: str) -> str:
        if key.startswith("public/"):
            return f"/{key.removeprefix('public/')}"
        scope = "/".join(key.split("/", 2)[:2])
        token = mint_path_token(self._key, scope, int(self._clock.now().timestamp()) + _TOKEN_TTL_S)
        return f"/t/{token}/{key}"


def _parse_meta(key: str, start: int, response: aiohttp.ClientResponse) -> ObjectMeta:
    if response.content_length is None:
        response.close()
        raise ConnectionError("the response has no Content-Length")
    modified = response.headers.get("Last-Modified")
    modified_s = int(parsedate_to_datetime(modified).timestamp()) if modified else 0
    etag = response.headers.get("ETag", f'"{response.content_length:x}"')
    return ObjectMeta(key, start + response.content_length, etag, modified_s)


async def _read_pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            yield piece
    finally:
        response.close() if not response.content.at_eof() else response.release()
