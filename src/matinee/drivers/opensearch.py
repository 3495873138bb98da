"""OpenSearch through opensearch-py: requests with a deadline, and reads that are repeated on another node.

A URL is `opensearch://[user:password@]host:port[,host:port…][/namespace][?tls=true&ca=FILE&shards=1&replicas=0-1]`.
The names of all indexes begin with the namespace, by default `matinee`. TLS trusts the authorities of the system, or
that of `ca` (PEM), which implies it. `shards` and `replicas` are those of new indexes: the latter a range, of which
there are as many as nodes allow.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from opensearchpy import AsyncOpenSearch, TransportError, exceptions
from opensearchpy.serializer import JSONSerializer

from matinee.drivers.engine import EngineUnavailable, StoreFull, WrongVersion, describe_engine, to_operation
from matinee.kit import context
from matinee.kit.context import traced
from matinee.kit.problem import DeadlineExceeded

T = TypeVar("T")
PORT: Final = 9200
OLDEST: Final = (2, 11)
# For a call with its retries.
LIMIT_S: Final = 3.0
WRITE_S: Final = 30.0
TRIES: Final = 3
# A node that is too busy for a write has little memory left for a moment.
WRITE_TRIES: Final = 8
# A node that failed is not used for this long where another one answers, and doubly so after each further failure.
_DEAD_S: Final = 1.0
_CONNECTIONS: Final = 32
_PAUSE_S, _MOST_PAUSE_S = 0.05, 2.0
_CHECK_S: Final = 2.0
_RETRYABLE: Final = {429, 502, 503, 504}
_DENIED: Final = {401, 403}
_BLOCKED: Final = "cluster_block_exception"
_HOST: Final = re.compile(r"([^:\[\]]+|\[[0-9a-f:]+\])(?::(\d+))?")
_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}")
_REPLICAS: Final = re.compile(r"\d+-(\d+|all)")
# Its lines contain queries, and failures are raised.
logging.getLogger("opensearch").setLevel(logging.CRITICAL)


class OpenSearchUrl(NamedTuple):
    """The parts of a URL."""

    hosts: list[tuple[str, int]]
    namespace: str
    user: str
    password: str
    has_tls: bool
    ca_file: str
    shards: int
    replicas: str

    @classmethod
    def parse(cls, url: str) -> OpenSearchUrl:
        """Parse a URL. Raises ValueError."""
        parts = urlsplit(url)
        credentials, _, netloc = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        pairs = [_HOST.fullmatch(host) for host in netloc.split(",")]
        namespace = parts.path.strip("/") or "matinee"
        if None in pairs or not _NAMESPACE.fullmatch(namespace):
            raise ValueError(
                "opensearch://host:port,host:port/namespace, where the namespace has lower-case letters, digits,"
                " underscores and hyphens, and begins with a letter."
            )
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        shards, replicas = options.get("shards", "1"), options.get("replicas", "0-1")
        if not shards.isdecimal() or int(shards) < 1 or not _REPLICAS.fullmatch(replicas):
            raise ValueError("shards are a number such as 1, and replicas a range such as 0-1.")
        return cls(
            hosts=[(pair[1].strip("[]"), int(pair[2] or PORT)) for pair in pairs if pair],
            namespace=namespace,
            user=unquote(user),
            password=unquote(password),
            has_tls="ca" in options or options.get("tls") == "true",
            ca_file=options.get("ca", ""),
            shards=int(shards),
            replicas=replicas,
        )


class OpenSearchError(Exception):
    """OpenSearch refused a request: the HTTP status, the type of its error, and the index that this is about."""

    def __init__(self, status: int, kind: str, reason: str, index: str = "") -> None:
        super().__init__(f"HTTP {status}: {kind}: {reason}")
        self.status = status
        self.kind = kind
        self.index = index


class OpenSearch:
    """The indexes of a namespace. Use as `async with OpenSearch(url) as opensearch:`; it connects when it is used.

    `limit_s` limits every call with its retries, as does the request's deadline. All calls raise EngineUnavailable (a
    write may or may not have been done), StoreFull, DeadlineExceeded, and OpenSearchError for what the caller handles.
    """

    def __init__(self, url: str, *, limit_s: float = LIMIT_S) -> None:
        self._url = OpenSearchUrl.parse(url)
        self.engine = describe_engine(url)
        self.namespace = self._url.namespace
        self.shards, self.replicas = self._url.shards, self._url.replicas
        self._limit_s = limit_s

    async def __aenter__(self) -> OpenSearch:
        url = self._url
        self._client = AsyncOpenSearch(
            hosts=[{"host": host, "port": port} for host, port in url.hosts],
            http_auth=(url.user, url.password) if url.user else None,
            use_ssl=url.has_tls,
            maxsize=_CONNECTIONS,
            serializer=_Json(),
            # `request` repeats; with no retries of its own the transport still avoids nodes that failed.
            max_retries=0,
            retry_on_timeout=True,
            dead_timeout=_DEAD_S,
            # Of the system by default, and not those of the library's package.
            ssl_context=ssl.create_default_context(cafile=url.ca_file or None) if url.has_tls else None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        # The library closes only those that did not fail last.
        for connection in getattr(self._client.transport.connection_pool, "orig_connections", ()):
            await connection.close()
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        query: Mapping[str, str] = {},
        limit_s: float | None = None,
        repeat: bool = False,
    ) -> Any:
        """Send a request and return the decoded response; with `repeat`, again where a node does not answer."""

        def send(left_s: float) -> Awaitable[Any]:
            return self._send(method, path, body, query, left_s)

        return await self._call(send, _name_operation(path), limit_s, tries=TRIES if repeat else 1)

    async def search(self, searches: Iterable[tuple[str, Mapping[str, Any]]]) -> list[list[dict[str, Any]]]:
        """Search several times in one request, each in an index or alias, and return the hits of each.

        Shards that are lost are left out.
        """
        lines: list[bytes] = []
        for index, search in searches:
            lines += [_encode({"index": index, "allow_partial_search_results": True}), _encode(search)]
        if not lines:
            return []
        body = join_lines(lines)

        async def send(left_s: float) -> list[list[dict[str, Any]]]:
            found = await self._send("POST", "/_msearch", body, {}, left_s)
            for response in found["responses"]:
                if "error" in response:
                    raise self._translate(response["status"], response["error"])
            return [response["hits"]["hits"] for response in found["responses"]]

        return await self._call(send, "_msearch", None, tries=TRIES)

    async def write(self, lines: bytes, *, query: Mapping[str, str] = {}, limit_s: float = WRITE_S) -> None:
        """Send the lines of `_bulk`, again where OpenSearch does not answer or is too busy: each names its document.

        A failure of one is raised when all were tried; a missing document is none.
        """

        async def send(left_s: float) -> None:
            done = await self._send("POST", "/_bulk", lines, query, left_s)
            for result in (result for item in done["items"] for result in item.values() if done["errors"]):
                if "error" in result:
                    raise self._translate(result["status"], result["error"])

        await self._call(send, "_bulk", limit_s, tries=WRITE_TRIES)

    async def _call(self, send: Callable[[float], Awaitable[T]], name: str, limit_s: float | None, *, tries: int) -> T:
        """Make a call within its limit. `send` is called with the time that is left for it."""
        limit_s = context.current().shorten_s(self._limit_s if limit_s is None else limit_s)
        if not limit_s:
            raise DeadlineExceeded(service="opensearch")
        ends_at = time.monotonic() + limit_s
        hosts = len(self._url.hosts)
        tries = max(tries, hosts) if tries > 1 else 1
        attempt = 1
        with traced(to_operation(self.engine, name)):
            while True:
                left_s = ends_at - time.monotonic()
                try:
                    # Of several nodes, half of the time is left for another one.
                    return await send(left_s / 2 if hosts > 1 and attempt < tries else left_s)
                except EngineUnavailable:
                    pause_s = random.uniform(0.5, 1) * min(_PAUSE_S * 2**attempt, _MOST_PAUSE_S)  # noqa: S311 - not a secret
                    if attempt == tries or time.monotonic() + pause_s >= ends_at:
                        raise
                await asyncio.sleep(pause_s)
                attempt += 1

    async def check(self) -> None:
        """Check the version, and that a manager of the cluster answers. Raises WrongVersion, and as all calls."""
        found = await self.request("GET", "/", limit_s=_CHECK_S)
        version = found.get("version", {})
        number = str(version.get("number", "0"))
        if version.get("distribution") != "opensearch" or _parse_version(number) < OLDEST:
            detail = f"{self.engine} is {version.get('distribution', 'not OpenSearch')} {number}; Matinee works with"
            raise WrongVersion(engine="opensearch", detail=f"{detail} OpenSearch {OLDEST[0]}.{OLDEST[1]} and newer.")
        await self.request("GET", "/_cluster/health", query={"timeout": "1s"}, limit_s=_CHECK_S)

    async def _send(self, method: str, path: str, body: bytes, query: Mapping[str, str], limit_s: float) -> Any:
        try:
            # The limit includes the reading of the response, and waiting for one of the connections.
            async with asyncio.timeout(limit_s):
                return await self._client.transport.perform_request(
                    method, path, params=dict(query), body=body or None, timeout=limit_s
                )
        except TimeoutError as error:
            raise self._unavailable("it does not answer in time") from error
        except exceptions.ConnectionError as error:
            raise self._unavailable(str(error.error)) from error
        except exceptions.SerializationError as error:
            raise self._unavailable("its answer is not JSON") from error
        except TransportError as error:
            status = error.status_code if isinstance(error.status_code, int) else 0
            raise self._translate(status, error.info) from error

    def _translate(self, status: int, error: Any) -> Exception:
        """Return the problem of an error that OpenSearch returned, or an OpenSearchError."""
        if isinstance(error, dict) and isinstance(error.get("error"), dict):
            error = error["error"]
        facts: dict[str, Any] = error if isinstance(error, dict) else {"reason": str(error)}
        causes = facts.get("root_cause") or [facts]
        kind, reason = str(causes[0].get("type", "")), str(causes[0].get("reason", ""))
        if "disk usage exceeded" in reason or "No space left" in reason or "read-only / allow delete" in reason:
            return StoreFull(detail=f"{self.engine} is full: free some space, then try again.")
        if status in _DENIED:
            return self._unavailable(f"it {'is blocked' if kind == _BLOCKED else 'denies access'}: {reason}")
        if status in _RETRYABLE and kind != "index_not_found_exception":
            return self._unavailable(f"HTTP {status}: {reason or kind}")
        return OpenSearchError(status, kind, reason, str(causes[0].get("index", "")))

    def _unavailable(self, reason: str) -> EngineUnavailable:
        return EngineUnavailable(engine="opensearch", detail=f"{self.engine} does not answer properly: {reason}")


class _Json(JSONSerializer):
    """JSON by msgspec."""

    def loads(self, s: Any) -> Any:
        try:
            return msgspec.json.decode(s)
        except (ValueError, TypeError) as error:
            raise exceptions.SerializationError(s, error) from error


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


def join_lines(lines: Iterable[bytes]) -> bytes:
    """Return lines as `_bulk` and `_msearch` read them."""
    return b"\n".join([*lines, b""])


def _name_operation(path: str) -> str:
    """Return the part of a path that names the operation."""
    return next((part for part in path.split("/") if part.startswith("_")), "index")


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
