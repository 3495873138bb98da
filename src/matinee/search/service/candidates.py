"""Documents that answer short queries, kept in memory: every viewer types the same first letters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.context import current
from matinee.kit.lru import LruCache
from matinee.search.model.documents import NameDocument
from matinee.search.model.folding import join
from matinee.search.ports import NameQuery, TextIndex

_LETTERS: Final = 3
# Some tens of megabytes: of each query some seventy documents, of which many are the same.
_QUERIES: Final = 512
# So late is a change found, besides the time until it is in the index.
_FRESH: Final = timedelta(seconds=2)
# While the index does not answer.
_USABLE: Final = timedelta(hours=1)
# How long the index may take where there are old documents, and which share of the time that a search has.
_INDEX_S, _INDEX_SHARE = 1.0, 0.5
_Key: TypeAlias = tuple[tuple[str, ...], str, int, int, bool, bool]
_log = log.get()


class Candidates:
    """Reads documents of an index, at most some seconds late where the query is short."""

    def __init__(self, *, index: TextIndex, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._kept: LruCache[_Key, tuple[datetime, Sequence[NameDocument]]] = LruCache(_QUERIES)

    async def find(self, query: NameQuery) -> tuple[Sequence[NameDocument], bool]:
        """Return the documents that `TextIndex.find` describes, and whether they are old, since the index failed.

        Raises what the index raises where there are none of the last hour.
        """
        if query.wide or len(join(query.forms[0])) > _LETTERS:
            return await self._index.find(query), False
        key = (query.forms, query.territory, query.maturity, query.limit, query.exact, query.about)
        now, kept = self._clock.now(), self._kept.get(key)
        if kept and now - kept[0] <= _FRESH:
            return kept[1], False
        if kept is None or now - kept[0] > _USABLE:
            found = await self._index.find(query)
        else:
            try:
                async with asyncio.timeout(current().shorten_s(_INDEX_S) * _INDEX_SHARE):
                    found = await self._index.find(query)
            except Exception as error:  # old documents are better than an error, whatever failed
                _log.warning("search.index_missing", error=repr(error))
                return kept[1], True
        self._kept.put(key, (now, found))
        return found, False
