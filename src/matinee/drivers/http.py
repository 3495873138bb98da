"""HTTP out, by aiohttp: one pool of connections a process. Failures say whether the request can have arrived."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple

import aiohttp
from yarl import URL

# Shorter than any server of ours keeps an idle connection, so that it is never closed under a request.
_IDLE_S = 15.0


class NotSent(Exception):
    """No connection: the request cannot have arrived."""


class ConnectionBroken(Exception):
    """The connection ended before the answer did: the request may have arrived."""


class Refused(ConnectionBroken):
    """The answer was another than a 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Ended(ConnectionBroken):
    """An answer that was to go on came to its end, as a whole."""


class Answer(NamedTuple):
    """An HTTP answer; header names in lower case do not matter."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Use as `async with HttpClient() as http:`. `trusted` is a certificate authority (PEM) beside the known ones."""

    def __init__(self, *, max_answer_bytes: int = 64 << 20, trusted: str = "") -> None:
        self._max_answer_bytes = max_answer_bytes
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cadata=trusted) if trusted else True

    async def __aenter__(self) -> HttpClient:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, keepalive_timeout=_IDLE_S, ttl_dns_cache=60)
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
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit_s: float
    ) -> Answer:
        """Send a request and read the whole answer. Raises NotSent, ConnectionBroken, TimeoutError."""
        limit = aiohttp.ClientTimeout(total=limit_s, sock_connect=limit_s)
        with _in_our_words():
            async with self._session.request(
                method, URL(url, encoded=True), data=body, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                return Answer(response.status, response.headers, await self._read(response))

    async def lines(
        self,
        url: str,
        *,
        method: str = "POST",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit_s: float,
        idle_s: float,
        longest_bytes: int = 128 << 10,
    ) -> AsyncIterator[bytes]:
        """Ask, and read an answer that goes on for ever line by line; `limit_s` to connect, `idle_s` between lines.

        Raises NotSent, TimeoutError, Refused, Ended, and ConnectionBroken, also for a line over `longest_bytes`.
        """
        limit = aiohttp.ClientTimeout(total=None, sock_connect=limit_s, sock_read=idle_s)
        with _in_our_words():
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=body,
                headers=headers,
                timeout=limit,
                allow_redirects=False,
                read_bufsize=longest_bytes // 2,  # aiohttp takes lines of twice as much
            ) as answer:
                if answer.status != 200:
                    raise Refused(answer.status)
                async for line in answer.content:
                    yield line
        raise Ended("the answer ended")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._max_answer_bytes
        if (response.content_length or 0) <= most:
            if response.content_length is not None:
                return await response.read()
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > most:
                    break
            else:
                return bytes(body)
        response.close()
        raise ConnectionBroken(f"the answer is over {most} bytes")


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NotSent(str(error)) from error
    except TimeoutError:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ConnectionBroken(str(error) or type(error).__name__) from error
