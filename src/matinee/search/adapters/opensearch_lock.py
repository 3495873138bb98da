"""The lock of the process that builds an index in OpenSearch: a document that expires unless it is renewed.

A process that was killed therefore keeps others from building for `LOCK_S` at most. The clocks of the processes should
agree within seconds.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from matinee.drivers.opensearch import OpenSearch, OpenSearchError
from matinee.kit.clock import Clock
from matinee.search.api import IndexBeingBuilt

LOCK_S: Final = 120.0
_CONFLICT: Final = 409
_MISSING: Final = 404
_DEFINITION: Final = {
    "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1"},
    "mappings": {"dynamic": False},
}


class _Lock(msgspec.Struct, frozen=True):
    """Who has the lock, and until when, in seconds since 1970."""

    holder: str
    expires_s: float


class _Stored(msgspec.Struct, frozen=True):
    """A stored lock, and what a change of it must state."""

    lock: _Lock
    revision: dict[str, str]


class BuildLock:
    """A lock. It is held by one build of one object."""

    def __init__(self, opensearch: OpenSearch, *, index: str, name: str, clock: Clock) -> None:
        self._opensearch = opensearch
        self._index, self._name = index, name
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._is_held = False
        self._expires_s = 0.0

    async def take(self) -> None:
        """Take the lock. Raises IndexBeingBuilt."""
        if self._is_held:
            raise IndexBeingBuilt
        self._is_held = True
        try:
            await self._create_index()
            if not await self._write({"op_type": "create"}):
                await self._take_over()
        except BaseException:
            self._is_held = False
            raise

    async def renew(self) -> None:
        """Renew the lock, unless that was done a moment ago. Raises IndexBeingBuilt where another process has it."""
        if self._now_s() > self._expires_s - LOCK_S / 2:
            await self.confirm()

    async def confirm(self) -> None:
        """Renew the lock now. Raises IndexBeingBuilt where another process has it."""
        stored = await self._read()
        if stored is None or stored.lock.holder != self._holder or not await self._write(stored.revision):
            raise IndexBeingBuilt(detail="Another process has begun to build the index, since this one was too slow.")

    async def release(self) -> None:
        """Release the lock, if it is still held."""
        self._is_held = False
        stored = await self._read()
        if stored is None or stored.lock.holder != self._holder:
            return
        try:
            await self._opensearch.request("DELETE", self._path, query=stored.revision)
        except OpenSearchError as error:
            if error.status not in {_CONFLICT, _MISSING}:
                raise

    @property
    def _path(self) -> str:
        return f"/{self._index}/_doc/{self._name}"

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    async def _take_over(self) -> None:
        """Take a lock that exists: one that has expired, or is left of an earlier build of this object."""
        stored = await self._read()
        if stored is None:  # it was released in between
            if not await self._write({"op_type": "create"}):
                raise IndexBeingBuilt
            return
        is_free = stored.lock.holder == self._holder or stored.lock.expires_s <= self._now_s()
        if not is_free or not await self._write(stored.revision):
            raise IndexBeingBuilt

    async def _write(self, condition: dict[str, str]) -> bool:
        """Write the lock, and return whether its condition was met."""
        lock = _Lock(self._holder, self._now_s() + LOCK_S)
        try:
            await self._opensearch.request("PUT", self._path, body=msgspec.json.encode(lock), query=condition)
        except OpenSearchError as error:
            if error.status == _CONFLICT:
                return False
            raise
        self._expires_s = lock.expires_s
        return True

    async def _read(self) -> _Stored | None:
        try:
            found: dict[str, Any] = await self._opensearch.request("GET", self._path, repeat=True)
        except OpenSearchError as error:
            if error.status == _MISSING:
                return None
            raise
        revision = {"if_seq_no": str(found["_seq_no"]), "if_primary_term": str(found["_primary_term"])}
        return _Stored(msgspec.convert(found["_source"], _Lock), revision)

    async def _create_index(self) -> None:
        try:
            await self._opensearch.request("PUT", f"/{self._index}", body=msgspec.json.encode(_DEFINITION))
        except OpenSearchError as error:
            if error.kind != "resource_already_exists_exception":
                raise
