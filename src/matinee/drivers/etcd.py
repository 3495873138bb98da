"""etcd v3 through its JSON gateway (`/v3/…`, etcd 3.4 and newer): keys under leases, conditional writes, a watch.

etcd's client libraries depend on gRPC, which is larger than the rest of a service; every etcd has the gateway.
Leases run by the clock of etcd's leader, and restart with their full time when another member becomes the leader.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from matinee.drivers.engine import EngineUnavailable, StoreFull, WrongVersion, describe_engine
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient

MIN_VERSION: Final = (3, 4)
# For a call with its retries.
_TIMEOUT_S: Final = 3.0
_ATTEMPTS: Final = 3
_BACKOFF_S: Final = 0.05
# A watch that is silent for this long is reopened, because a lost connection may go unnoticed.
_WATCH_IDLE_S: Final = 60.0
# gRPC status codes, which the gateway returns.
_CANCELLED, _DEADLINE_EXCEEDED, _NOT_FOUND, _EXHAUSTED, _UNAVAILABLE, _UNAUTHENTICATED = 1, 4, 5, 8, 14, 16
_RETRYABLE: Final = {_CANCELLED, _DEADLINE_EXCEEDED, _UNAVAILABLE}


class EtcdValue(msgspec.Struct, frozen=True):
    """The value of a key, its lease (0: none), and the revision that wrote it."""

    value: bytes
    lease: int
    revision: int


class _EtcdError(Exception):
    """etcd answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _LeaseNotFound(Exception):
    """There is no such lease."""


class Etcd:
    """A namespace of an etcd. Use as `async with Etcd("etcd://host:port,host:port/namespace") as etcd:`.

    `etcd://user:password@…` signs in. `?ca=FILE` uses TLS, with that certificate authority (PEM). Methods raise
    EngineUnavailable if no member answers in time, and StoreFull if etcd's space quota is used up.
    """

    def __init__(self, url: str) -> None:
        self.engine = describe_engine(url)
        parts = urlsplit(url)
        ca_file = parse_qs(parts.query).get("ca", [""])[0]
        user, at, hosts = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        self._credentials = {"name": unquote(name), "password": unquote(password)} if at else None
        self._members = [f"{'https' if ca_file else 'http'}://{host}" for host in hosts.split(",")]
        self._namespace = parts.path.strip("/")
        self._ca_pem = Path(ca_file).read_text() if ca_file else ""
        self._token = ""
        self._current = 0

    async def __aenter__(self) -> Etcd:
        self._http = await HttpClient(ca_pem=self._ca_pem).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def grant_lease(self, ttl_s: float) -> int:
        """Create a lease. The time is rounded up to whole seconds; etcd's default settings grant at least two."""
        return int((await self._call("lease/grant", {"TTL": str(-int(-ttl_s // 1))}))["ID"])

    async def renew_lease(self, lease: int) -> bool:
        """Restart a lease's time; return False if it has expired."""
        response = await self._call("lease/keepalive", {"ID": str(lease)})
        return int(response.get("result", {}).get("TTL", 0)) > 0

    async def revoke_lease(self, lease: int) -> None:
        """Delete a lease and its keys. Idempotent."""
        with contextlib.suppress(_LeaseNotFound):
            await self._call("lease/revoke", {"ID": str(lease)})

    async def put(self, key: str, value: bytes, *, lease: int) -> int:
        """Write a key under a lease; return the key's previous lease (0: none)."""
        write = {"key": self._encode_key(key), "value": _encode(value), "lease": str(lease), "prev_kv": True}
        try:
            previous = (await self._call("kv/put", write)).get("prev_kv", {})
        except _LeaseNotFound as error:  # etcd was unavailable for the lease's time between the grant and this call
            raise self._unavailable("the lease expired before it was used") from error
        return int(previous.get("lease", 0))

    async def put_if_unchanged(self, key: str, value: bytes, *, revision: int) -> bool:
        """Write a key that was last written by `revision`, keeping its lease; return whether it was written."""
        compare = {"key": self._encode_key(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}
        write = {"request_put": {"key": self._encode_key(key), "value": _encode(value), "ignore_lease": True}}
        return bool((await self._call("kv/txn", {"compare": [compare], "success": [write]})).get("succeeded"))

    async def get(self, key: str) -> EtcdValue | None:
        """Read a key."""
        return next(iter((await self._read_range({"key": self._encode_key(key)})).values()), None)

    async def get_prefix(self, prefix: str) -> dict[str, EtcdValue]:
        """Read every key that begins with a prefix, in order. The keys are without the namespace."""
        return await self._read_range(self._encode_prefix(prefix))

    async def delete(self, key: str) -> None:
        """Delete a key. Idempotent."""
        await self._call("kv/deleterange", {"key": self._encode_key(key)})

    async def watch(self, prefix: str) -> AsyncIterator[None]:
        """Yield once when the watch is open, then for each batch of changes below a prefix. Ends by EngineUnavailable.

        A watch begins at the present and does not report what changed: a caller that reads the keys after each yield
        misses nothing. Resuming at a revision would miss changes that etcd has compacted, and would wait for days if
        etcd had lost its data, because its revisions then start again.
        """
        body = msgspec.json.encode({"create_request": self._encode_prefix(prefix)})
        url = f"{self._members[self._current]}/v3/watch"
        try:
            async for line in self._http.stream_lines(
                url, body=body, headers=self._build_headers(), timeout_s=_TIMEOUT_S, idle_timeout_s=_WATCH_IDLE_S
            ):
                result = msgspec.json.decode(line).get("result", {})
                if not result or result.get("canceled"):
                    raise ConnectionBroken(line[:200].decode(errors="replace"))
                yield
        except (ConnectFailed, ConnectionBroken, TimeoutError) as error:
            raise self._unavailable(f"the watch ended: {error}") from error

    async def check(self) -> None:
        """Check the cluster. Raises EngineUnavailable (no member answers, or no leader), StoreFull, WrongVersion."""
        status = await self._call("maintenance/status", {})
        if tuple(int(n) for n in status["version"].split(".")[:2]) < MIN_VERSION:
            raise self._wrong_version(status["version"])
        if not int(status.get("leader", 0)):
            raise self._unavailable("it has no leader: too few members are running")
        if any("NOSPACE" in error for error in status.get("errors", ())):
            raise self._full()

    async def _read_range(self, request: Mapping[str, Any]) -> dict[str, EtcdValue]:
        found = (await self._call("kv/range", request)).get("kvs", [])
        start = len(self._namespace) + 1
        return {
            base64.b64decode(kv["key"]).decode()[start:]: EtcdValue(
                base64.b64decode(kv.get("value", "")), int(kv.get("lease", 0)), int(kv["mod_revision"])
            )
            for kv in found
        }

    async def _call(self, path: str, request: Mapping[str, Any]) -> Any:
        """Call a method, on the next member after each failure."""
        deadline = time.monotonic() + _TIMEOUT_S
        reason = ""
        for attempt in range(max(_ATTEMPTS, len(self._members))):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            try:
                # Half of the time is left for another member.
                return await self._try(path, request, left_s if len(self._members) == 1 else left_s / 2)
            except _EtcdError as error:
                if error.code == _UNAUTHENTICATED and self._credentials is not None:
                    self._token = ""
                    continue
                if error.code not in _RETRYABLE:
                    raise self._translate(error) from error
                reason = str(error)
            except ConnectionBroken as error:
                reason = str(error)
            except (ConnectFailed, TimeoutError):
                reason = ""
            self._current = (self._current + 1) % len(self._members)
            await asyncio.sleep(min(_BACKOFF_S * attempt, max(0.0, deadline - time.monotonic())))
        raise self._unavailable(reason)

    async def _try(self, path: str, request: Mapping[str, Any], timeout_s: float) -> Any:
        if self._credentials is not None and not self._token:
            self._token = (await self._post("auth/authenticate", self._credentials, timeout_s))["token"]
        return await self._post(path, request, timeout_s)

    async def _post(self, path: str, request: Mapping[str, Any], timeout_s: float) -> Any:
        url, body = f"{self._members[self._current]}/v3/{path}", msgspec.json.encode(request)
        response = await self._http.request("POST", url, body=body, headers=self._build_headers(), timeout_s=timeout_s)
        try:
            content = msgspec.json.decode(response.body)
        except msgspec.DecodeError as error:
            if response.status == 404:  # the gateway of older versions has another path
                raise self._wrong_version("this one") from error
            raise ConnectionBroken(f"HTTP {response.status}: {response.body[:100]!r}") from error
        if response.status != 200:
            raise _EtcdError(int(content.get("code", 0)), str(content.get("message") or content.get("error")))
        return content

    def _translate(self, error: _EtcdError) -> Exception:
        if error.code == _NOT_FOUND:
            return _LeaseNotFound(str(error))
        is_full = error.code == _EXHAUSTED and "space" in str(error)
        return self._full() if is_full else self._unavailable(f"the request was refused: {error}")

    def _unavailable(self, reason: str) -> EngineUnavailable:
        detail = f"{self.engine}: {reason}" if reason else f"{self.engine} does not answer"
        return EngineUnavailable(engine=self.engine, detail=detail)

    def _wrong_version(self, version: str) -> WrongVersion:
        needed = ".".join(map(str, MIN_VERSION))
        detail = f"{self.engine}: version {version} is too old; Matinee needs {needed} or newer."
        return WrongVersion(engine=self.engine, detail=detail)

    def _full(self) -> StoreFull:
        remedy = "compact, defragment, then disarm its alarm (see the how-to on etcd)"
        return StoreFull(detail=f"{self.engine} has used up its space: {remedy}.")

    def _build_headers(self) -> dict[str, str]:
        return {"content-type": "application/json", **({"authorization": self._token} if self._token else {})}

    def _encode_key(self, key: str) -> str:
        return _encode(f"{self._namespace}/{key}".encode())

    def _encode_prefix(self, prefix: str) -> dict[str, str]:
        start = f"{self._namespace}/{prefix}".encode()
        return {"key": _encode(start), "range_end": _encode(start[:-1] + bytes([start[-1] + 1]))}


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()
