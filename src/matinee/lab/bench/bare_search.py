"""Search with what engines offer by themselves, as their documentation shows it: the baselines of the bench."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import tantivy

from matinee.lab.catalogue import GeneratedTitle

if TYPE_CHECKING:
    from matinee.drivers.opensearch import OpenSearch

_WRITER_BYTES = 128 << 20
_INDEX, _BATCH, _LIMIT = "bare", 1_000, 20


class BareTantivy:
    """An index of the names of titles, one document each, with the corrections of tantivy's query parser."""

    def __init__(self, folder: Path, titles: Sequence[GeneratedTitle]) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("title_id", stored=True, tokenizer_name="raw")
        builder.add_text_field("names")
        folder.mkdir()
        self._index: Any = tantivy.Index(builder.build(), path=str(folder))
        writer = self._index.writer(_WRITER_BYTES, 1)
        for title in titles:
            names = list(title.draft.names.values())
            writer.add_document(tantivy.Document(title_id=[title.draft.title_id], names=names))
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    async def find(self, query: str, _language: str) -> list[str]:
        """Return the ids of titles."""
        return await asyncio.to_thread(self._find, query)

    def _find(self, query: str) -> list[str]:
        parsed, _errors = self._index.parse_query_lenient(query, ["names"], fuzzy_fields={"names": (True, 1, True)})
        searcher = self._index.searcher()
        found = searcher.search(parsed, _LIMIT, count=False).hits
        return [searcher.doc(address).get_first("title_id") for _, address in found]


class BareOpenSearch:
    """An index of the names of titles with indexed prefixes and OpenSearch's fuzziness."""

    def __init__(self, opensearch: OpenSearch) -> None:
        self._opensearch = opensearch

    async def build(self, titles: Sequence[GeneratedTitle]) -> None:
        """Index titles."""
        definition = {"mappings": {"properties": {"names": {"type": "text", "index_prefixes": {}}}}}
        await self._opensearch.request("PUT", f"/{_INDEX}", body=msgspec.json.encode(definition))
        for start in range(0, len(titles), _BATCH):
            lines: list[bytes] = []
            for title in titles[start : start + _BATCH]:
                lines.append(msgspec.json.encode({"index": {"_index": _INDEX, "_id": title.draft.title_id}}))
                lines.append(msgspec.json.encode({"names": list(title.draft.names.values())}))
            await self._opensearch.write(b"\n".join([*lines, b""]))
        await self._opensearch.request("POST", f"/{_INDEX}/_refresh")

    async def remove(self) -> None:
        """Delete the index."""
        await self._opensearch.request("DELETE", f"/{_INDEX}")

    async def find(self, query: str, _language: str) -> list[str]:
        """Return the ids of titles."""
        match = {"query": query, "fuzziness": "AUTO"}
        search = {
            "query": {"match_bool_prefix": {"names": match}},
            "size": _LIMIT,
            "_source": False,
            "track_total_hits": False,
        }
        (hits,) = await self._opensearch.search([(_INDEX, search)])
        return [hit["_id"] for hit in hits]
