"""`TextIndex` in OpenSearch, which the instances of several machines may share.

Each index has a number, and an alias names the current one: NAMESPACE-search-VERSION. Documents have ids of their
owner and their place, so that a write that is repeated, or that was interrupted, leaves none twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.opensearch import WRITE_S, OpenSearch, OpenSearchError, join_lines
from matinee.kit.clock import Clock
from matinee.kit.ids import TitleId
from matinee.search.adapters.opensearch_documents import (
    FINISHED,
    Finder,
    build_definition,
    encode_action,
    encode_documents,
    list_ids,
    list_terms,
    select,
)
from matinee.search.adapters.opensearch_lock import BuildLock
from matinee.search.api import IndexNotReady
from matinee.search.model.documents import NameDocument
from matinee.search.model.fields import MAX_INITIALS, VERSION, make_initial_term
from matinee.search.ports import AboutField, NameQuery, StoredIndex

R = TypeVar("R")
_REQUEST_BYTES: Final = 4 << 20
# Owners whose former documents are looked for in one request, and how many of these it returns.
_OWNERS, _FORMER = 100, 5_000
# Searches that find an index that was replaced in between.
_TRIES: Final = 3
_MISSING: Final = "index_not_found_exception"
_UNREADABLE: Final = frozenset({_MISSING, "index_closed_exception"})
_NO_INDEX: Final = StoredIndex(engine="opensearch", version=0, documents=0, size_bytes=0)


class OpenSearchIndex:
    """The indexes of a namespace."""

    def __init__(self, opensearch: OpenSearch, clock: Clock) -> None:
        self._opensearch = opensearch
        self._prefix = f"{opensearch.namespace}-search"
        self._alias = f"{self._prefix}-{VERSION}"
        self._lock = BuildLock(opensearch, index=f"{self._prefix}-locks", name=f"build-{VERSION}", clock=clock)

    async def put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        with _expect_index():
            for lines in await asyncio.to_thread(encode_documents, self._alias, documents, _REQUEST_BYTES):
                await self._opensearch.write(lines, query={"require_alias": "true"})
            await self._refresh()
            owners = [*documents]
            for start in range(0, len(owners), _OWNERS):
                await self._delete_former({owner: documents[owner] for owner in owners[start : start + _OWNERS]})

    async def _delete_former(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        """Delete what else there is of owners."""
        own = [each for owner, some in documents.items() for each in list_ids(owner, len(some))]
        condition = {"filter": [{"terms": {"owner": [*documents]}}], "must_not": [{"ids": {"values": own}}]}
        search = {"query": {"bool": condition}, "size": _FORMER, "_source": False, "track_total_hits": False}
        while True:
            (hits,) = await self._opensearch.search([(self._alias, search)])
            if not hits:
                return
            await self._opensearch.write(
                join_lines(encode_action("delete", self._alias, hit["_id"]) for hit in hits),
                query={"refresh": "true"},
            )

    async def find(self, query: NameQuery) -> list[NameDocument]:
        return await self._read(lambda: Finder(self._opensearch, self._alias, query).find())

    async def load_about(self, title_ids: Sequence[TitleId]) -> dict[TitleId, NameDocument]:
        terms = {"owner": title_ids, "kind": ["about"]}
        if not title_ids:
            return {}
        found = await self._read(lambda: select(self._opensearch, self._alias, terms, limit=len(title_ids)))
        return {TitleId(document.owner): document for document in found}

    async def list_about(
        self, field: AboutField, term: str, *, viewer: NameQuery | None = None, limit: int = 1_000
    ) -> list[NameDocument]:
        if viewer is not None:
            return await self._read(lambda: Finder(self._opensearch, self._alias, viewer).list_about(field, term))
        return await self._read(lambda: select(self._opensearch, self._alias, {field: [term]}, limit=limit))

    async def list_initials(self, language: str) -> list[str]:
        prefix = make_initial_term(language, "")
        terms = await self._read(
            lambda: list_terms(self._opensearch, self._alias, "initials", prefix, limit=MAX_INITIALS)
        )
        return [term.removeprefix(prefix) for term in terms]

    async def begin(self, *, now: datetime) -> NewOpenSearchIndex:
        await self._lock.take()
        try:
            # A number that is later than all others, for people who look at the indexes.
            name = f"{self._alias}-{time.time_ns()}"
            new = NewOpenSearchIndex(self._opensearch, self._lock, prefix=self._prefix, alias=self._alias, name=name)
            await new.create(created_at=now)
        except BaseException:
            await _try_to(self._lock.release())
            raise
        return new

    async def describe(self) -> StoredIndex:
        try:
            mappings = await self._opensearch.request("GET", f"/{self._alias}/_mapping", repeat=True)
            stats = await self._opensearch.request("GET", f"/{self._alias}/_stats/docs,store", repeat=True)
        except OpenSearchError as error:
            if error.kind not in _UNREADABLE:
                raise
            return _NO_INDEX
        created_at = [index["mappings"].get("_meta", {}).get("created_at") for index in mappings.values()]
        if len(created_at) != 1 or not created_at[0]:
            return _NO_INDEX  # by a change from outside the alias names several indexes, or another one than Matinee's
        facts: dict[str, Any] = stats["_all"]["primaries"]
        return StoredIndex(
            engine="opensearch",
            version=VERSION,
            documents=facts.get("docs", {}).get("count", 0),
            size_bytes=facts.get("store", {}).get("size_in_bytes", 0),
            created_at=datetime.fromisoformat(created_at[0]),
        )

    async def _refresh(self) -> None:
        await self._opensearch.request("POST", f"/{self._alias}/_refresh", limit_s=WRITE_S)

    async def _read(self, read: Callable[[], Awaitable[R]]) -> R:
        """Read from the current index, again where it was replaced meanwhile. Raises IndexNotReady."""
        with _expect_index():
            for _ in range(_TRIES - 1):
                try:
                    return await read()
                except OpenSearchError as error:
                    if error.kind != _MISSING or error.index == self._alias:
                        raise
            return await read()


class NewOpenSearchIndex:
    """An index under construction. Documents are put by an alias of its own, so that no put creates it anew."""

    def __init__(self, opensearch: OpenSearch, lock: BuildLock, *, prefix: str, alias: str, name: str) -> None:
        self._opensearch = opensearch
        self._lock = lock
        self._prefix, self._alias, self._name = prefix, alias, name
        self._own_alias = f"{name}-new"
        # It is refused where that was done: once, either by the switch to this index, or before it is deleted.
        self._drop_own_alias = {"remove": {"index": name, "alias": self._own_alias, "must_exist": True}}
        self._counts: dict[str, int] = {}

    async def create(self, *, created_at: datetime) -> None:
        """Create the index."""
        body = build_definition(
            created_at=created_at,
            alias=self._own_alias,
            shards=self._opensearch.shards,
            replicas=self._opensearch.replicas,
        )
        await self._request("PUT", f"/{self._name}", body)

    async def put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        await self._lock.renew()
        requests = await asyncio.to_thread(encode_documents, self._own_alias, documents, _REQUEST_BYTES)
        former = [
            encode_action("delete", self._own_alias, each)
            for owner, own in documents.items()
            for each in list_ids(owner, self._counts.get(owner, 0), len(own))
        ]
        with _expect_index():
            for lines in [*requests, *([join_lines(former)] if former else [])]:
                await self._opensearch.write(lines, query={"require_alias": "true"})
        self._counts |= {owner: len(own) for owner, own in documents.items()}

    async def finish(self) -> None:
        await self._request("PUT", f"/{self._name}/_settings", {"index": FINISHED})
        for step in ("_refresh", "_flush"):
            await self._request("POST", f"/{self._name}/{step}")
        await self._lock.confirm()
        await self._change_aliases(
            *await self._list_removals(), self._drop_own_alias, {"add": {"index": self._name, "alias": self._alias}}
        )
        # Where this fails, the next build deletes the others, and the lock expires.
        await _try_to(self._delete_others())
        await _try_to(self._lock.release())

    async def give_up(self) -> None:
        # Where this fails, the next build deletes the index, and the lock expires.
        await _try_to(self._delete_unless_current())
        await _try_to(self._lock.release())

    async def _change_aliases(self, *actions: Mapping[str, Any]) -> None:
        """Change aliases at once."""
        await self._request("POST", "/_aliases", {"actions": actions})

    async def _list_removals(self) -> list[dict[str, Any]]:
        """Return the changes by which the alias names nothing, also where it is an index by a change from outside."""
        try:
            named = await self._request("GET", f"/{self._alias}/_alias")
        except OpenSearchError as error:
            if error.kind != _MISSING:
                raise
            named = {}
        if self._alias in named:
            return [{"remove_index": {"index": self._alias}}]
        # A pattern, since OpenSearch refuses to change a read-only index that is named.
        own = f"{self._alias}-*"
        others = [name for name in named if not name.startswith(own[:-1])]
        return [{"remove": {"index": each, "alias": self._alias, "must_exist": False}} for each in (own, *others)]

    async def _delete_unless_current(self) -> None:
        """Delete this index, unless the switch to it was done: its answer may not have arrived."""
        await self._change_aliases(self._drop_own_alias)
        await self._delete(self._name)

    async def _delete_others(self) -> None:
        """Delete the indexes of this version and earlier ones, except this one: current ones, and left ones."""
        form = re.compile(rf"{re.escape(self._prefix)}-(\d+)-\d+")
        _, _, version = self._alias.rpartition("-")
        stored = await self._request("GET", f"/{self._prefix}-*/_alias")
        matches = [match for name in stored if (match := form.fullmatch(name)) and name != self._name]
        for match in matches:
            if int(match[1]) <= int(version):
                # One by one: one that is read-only, or in a snapshot, must not keep the others.
                await _try_to(self._delete(match[0]))

    async def _delete(self, name: str) -> None:
        await self._request("DELETE", f"/{name}", query={"ignore_unavailable": "true"})

    async def _request(self, method: str, path: str, body: Any = None, query: Mapping[str, str] = {}) -> Any:
        encoded = b"" if body is None else msgspec.json.encode(body)
        return await self._opensearch.request(method, path, body=encoded, query=query, limit_s=WRITE_S)


@contextmanager
def _expect_index() -> Iterator[None]:
    """Raise IndexNotReady where there is no index, or it is closed."""
    try:
        yield
    except OpenSearchError as error:
        if error.kind not in _UNREADABLE:
            raise
        raise IndexNotReady(detail=str(error)) from error


async def _try_to(work: Awaitable[None]) -> None:
    """Do what is not needed where OpenSearch does not answer."""
    with contextlib.suppress(EngineUnavailable, OpenSearchError):
        await work
