"""An HTTP client, by aiohttp. Its errors state whether the server may have received the request."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple

import aiohttp
from yarl import URL

# Shorter than the keep-alive time of our servers, so that no server closes a connection that is about to be reused.
_KEEP_ALIVE_S = 15.0


class ConnectFailed(Exception):
    """No connection could be made: the server has not received the request."""


class ConnectionBroken(Exception):
    """The connection failed before the response was complete: the server may have received the request."""


class UnexpectedStatus(ConnectionBroken):
    """A streamed response has a status other than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class ResponseEnded(ConnectionBroken):
    """The server ended a streamed response regularly."""


class Response(NamedTuple):
    """An HTTP response. `headers` is case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """A connection pool. Use as `async with HttpClient() as http:`.

    `ca_pem` is a certificate authority trusted in place of those of the system.
    """

    def __init__(self, *, max_response_bytes: int = 64 << 20, ca_pem: str = "") -> None:
        self._max_response_bytes = max_response_bytes
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cadata=ca_pem) if ca_pem else True

    async def __aenter__(self) -> HttpClient:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout_s: float
    ) -> Response:
        """Send a request and read the response. Raises ConnectFailed, ConnectionBroken, TimeoutError."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s)
        with _translate_errors():
            async with self._session.request(
                method, URL(url, encoded=True), data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return Response(response.status, response.headers, await self._read(response))

    async def stream_lines(
        self,
        url: str,
        *,
        method: str = "POST",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        idle_timeout_s: float,
        max_line_bytes: int = 128 << 10,
    ) -> AsyncIterator[bytes]:
        """Send a request and yield the lines of a response without end.

        `timeout_s` limits the connect, `idle_timeout_s` the time between two lines. Raises ConnectFailed, TimeoutError,
        UnexpectedStatus, ResponseEnded, and ConnectionBroken (also for a line longer than `max_line_bytes`).
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=idle_timeout_s)
        with _translate_errors():
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                read_bufsize=max_line_bytes // 2,  # aiohttp accepts lines of twice this size
            ) as response:
                if response.status != 200:
                    raise UnexpectedStatus(response.status)
                async for line in response.content:
                    yield line
        raise ResponseEnded("the response ended")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._max_response_bytes
        if (response.content_length or 0) <= limit:
            if response.content_length is not None:
                return await response.read()
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        response.close()
        raise ConnectionBroken(f"the response is larger than {limit} bytes")


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise ConnectFailed(str(error)) from error
    except TimeoutError:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ConnectionBroken(str(error) or type(error).__name__) from error
