"""etcd v3 by its JSON gateway (`/v3/…`, etcd 3.4 and newer): keys under leases, compared writes, a watch.

Its own client libraries bring gRPC, which is larger than the rest of a service; the gateway is part of every etcd.
Time is etcd's own: a lease runs by the leader's clock, and starts anew when another member becomes leader.
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
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response

OLDEST: Final = (3, 4)
# One question, with another member asked where the first does not answer.
_LIMIT_S: Final = 3.0
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.05
# A watch on which nothing came for so long is opened anew: the road may have gone without a word.
_IDLE_S: Final = 60.0
# gRPC's codes, as the gateway tells them.
_NOT_FOUND, _EXHAUSTED, _UNAVAILABLE, _UNAUTHENTICATED = 5, 8, 14, 16
_AGAIN: Final = {1, 4, _UNAVAILABLE}


class Kept(msgspec.Struct, frozen=True):
    """A key's value, the lease it is under (0: none), and the revision that wrote it."""

    value: bytes
    lease: int
    revision: int


class _Refused(Exception):
    """etcd answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _NotFound(Exception):
    """There is no such lease."""


class Etcd:
    """One namespace of an etcd. Use as `async with Etcd("etcd://host:port,host:port/namespace") as etcd:`.

    `etcd://user:password@…` signs in; `?ca=FILE` speaks TLS to members whose certificate this authority (PEM) signed.
    Every method raises EngineUnavailable where no member answers in time, StoreFull where etcd's space is used up.
    """

    def __init__(self, url: str) -> None:
        self.engine = describe_engine(url)
        parts = urlsplit(url)
        authority = parse_qs(parts.query).get("ca", [""])[0]
        user, at, hosts = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        self._sign_in = {"name": unquote(name), "password": unquote(password)} if at else None
        self._members = [f"{'https' if authority else 'http'}://{host}" for host in hosts.split(",")]
        self._namespace = parts.path.strip("/")
        self._trusted = Path(authority).read_text() if authority else ""
        self._token = ""
        self._first = 0

    async def __aenter__(self) -> Etcd:
        self._http = await HttpClient(ca_pem=self._trusted).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def grant(self, ttl_s: float) -> int:
        """A new lease. etcd counts whole seconds, and none is shorter than two at its usual settings."""
        return int((await self._ask("lease/grant", {"TTL": str(-int(-ttl_s // 1))}))["ID"])

    async def keep_alive(self, lease: int) -> bool:
        """Start a lease's time anew; False where it has run out."""
        answer = await self._ask("lease/keepalive", {"ID": str(lease)})
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    async def revoke(self, lease: int) -> None:
        """End a lease, and every key under it. Idempotent."""
        with contextlib.suppress(_NotFound):
            await self._ask("lease/revoke", {"ID": str(lease)})

    async def put(self, key: str, value: bytes, *, lease: int) -> int:
        """Write a key under a lease; tells the lease it was under before (0: none)."""
        wanted = {"key": self._key(key), "value": _coded(value), "lease": str(lease), "prev_kv": True}
        try:
            before = (await self._ask("kv/put", wanted)).get("prev_kv", {})
        except _NotFound as error:  # it was away for as long as the lease, between the grant and this
            raise self._away("the lease ran out before it was used") from error
        return int(before.get("lease", 0))

    async def replace(self, key: str, value: bytes, *, revision: int) -> bool:
        """Write a key, under its lease as before, if nobody has since `revision`; tells whether it was written."""
        compare = {"key": self._key(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}
        write = {"request_put": {"key": self._key(key), "value": _coded(value), "ignore_lease": True}}
        return bool((await self._ask("kv/txn", {"compare": [compare], "success": [write]})).get("succeeded"))

    async def get(self, key: str) -> Kept | None:
        """A key's value, None where there is none."""
        return next(iter((await self._range({"key": self._key(key)})).values()), None)

    async def below(self, prefix: str) -> dict[str, Kept]:
        """Every key that begins with a prefix, without the namespace, in order."""
        return await self._range(self._all(prefix))

    async def delete(self, key: str) -> None:
        """Drop a key. Idempotent."""
        await self._ask("kv/deleterange", {"key": self._key(key)})

    async def watch(self, prefix: str) -> AsyncIterator[None]:
        """A yield when the watch stands, then one for each batch of changes below a prefix; only EngineUnavailable ends it.

        It tells that one should look, not what changed, and begins at the present: whoever looks after each yield
        misses nothing, however long etcd was away, what it compacted meanwhile, and whether it came back empty
        (with revisions that begin again, so that a watch resumed from an old one would hear nothing for days).
        """
        body = msgspec.json.encode({"create_request": self._all(prefix)})
        url = f"{self._members[self._first]}/v3/watch"
        try:
            async for line in self._http.stream_lines(
                url, body=body, headers=self._headers(), timeout_s=_LIMIT_S, idle_timeout_s=_IDLE_S
            ):
                result = msgspec.json.decode(line).get("result", {})
                if not result or result.get("canceled"):
                    raise ConnectionBroken(line[:200].decode(errors="replace"))
                yield
        except (ConnectFailed, ConnectionBroken, TimeoutError) as error:
            raise self._away(f"its watch ended: {error}") from error

    async def check(self) -> None:
        """Raises EngineUnavailable (no member answers, or they have no leader), StoreFull, WrongVersion."""
        status = await self._ask("maintenance/status", {})
        if tuple(int(n) for n in status["version"].split(".")[:2]) < OLDEST:
            raise WrongVersion(engine=self.engine, detail=_older(self.engine, status["version"]))
        if not int(status.get("leader", 0)):
            raise self._away("it has no leader: too few of its members are there")
        if any("NOSPACE" in said for said in status.get("errors", ())):
            raise StoreFull(detail=_full(self.engine))

    async def _range(self, wanted: Mapping[str, Any]) -> dict[str, Kept]:
        found = (await self._ask("kv/range", wanted)).get("kvs", [])
        start = len(self._namespace) + 1
        return {
            base64.b64decode(kv["key"]).decode()[start:]: Kept(
                base64.b64decode(kv.get("value", "")), int(kv.get("lease", 0)), int(kv["mod_revision"])
            )
            for kv in found
        }

    async def _ask(self, path: str, question: Mapping[str, Any]) -> Any:
        end = time.monotonic() + _LIMIT_S
        why = ""
        for attempt in range(max(_ATTEMPTS, len(self._members))):
            left_s = end - time.monotonic()
            if left_s <= 0:
                break
            try:
                # Some time is kept for another member, where there is one.
                return await self._once(path, question, left_s if len(self._members) == 1 else left_s / 2)
            except _Refused as refused:
                if refused.code == _UNAUTHENTICATED and self._sign_in is not None:
                    self._token = ""
                    continue
                if refused.code not in _AGAIN:
                    raise self._meant(refused) from refused
                why = str(refused)
            except ConnectionBroken as error:
                why = str(error)
            except (ConnectFailed, TimeoutError):
                why = ""
            self._first = (self._first + 1) % len(self._members)
            await asyncio.sleep(min(_PAUSE_S * attempt, max(0.0, end - time.monotonic())))
        raise self._away(why)

    async def _once(self, path: str, question: Mapping[str, Any], limit_s: float) -> Any:
        if self._sign_in is not None and not self._token:
            self._token = (await self._posted("auth/authenticate", self._sign_in, limit_s))["token"]
        return await self._posted(path, question, limit_s)

    async def _posted(self, path: str, question: Mapping[str, Any], limit_s: float) -> Any:
        url = f"{self._members[self._first]}/v3/{path}"
        body = msgspec.json.encode(question)
        return self._read(await self._http.request("POST", url, body=body, headers=self._headers(), timeout_s=limit_s))

    def _read(self, answer: Response) -> Any:
        try:
            said = msgspec.json.decode(answer.body)
        except msgspec.DecodeError as error:
            if answer.status == 404:
                raise WrongVersion(engine=self.engine, detail=_older(self.engine, "this one")) from error
            raise ConnectionBroken(f"HTTP {answer.status}: {answer.body[:100]!r}") from error
        if answer.status != 200:
            raise _Refused(int(said.get("code", 0)), str(said.get("message") or said.get("error")))
        return said

    def _meant(self, refused: _Refused) -> Exception:
        if refused.code == _NOT_FOUND:
            return _NotFound(str(refused))
        if refused.code == _EXHAUSTED and "space" in str(refused):
            return StoreFull(detail=_full(self.engine))
        return self._away(f"it refuses: {refused}")

    def _away(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            engine=self.engine, detail=f"{self.engine}: {why}" if why else f"{self.engine} does not answer"
        )

    def _headers(self) -> dict[str, str]:
        return {"content-type": "application/json", **({"authorization": self._token} if self._token else {})}

    def _key(self, key: str) -> str:
        return _coded(f"{self._namespace}/{key}".encode())

    def _all(self, prefix: str) -> dict[str, str]:
        start = f"{self._namespace}/{prefix}".encode()
        return {"key": _coded(start), "range_end": _coded(start[:-1] + bytes([start[-1] + 1]))}


def _coded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _older(engine: str, version: str) -> str:
    return f"{engine}: version {version} is too old; Matinee needs {OLDEST[0]}.{OLDEST[1]} or newer."


def _full(engine: str) -> str:
    return f"{engine} has used up its space: compact, defragment, then disarm its alarm (see the how-to on etcd)."
