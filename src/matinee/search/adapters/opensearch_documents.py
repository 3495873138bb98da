"""The documents of an index in OpenSearch, and the searches that find them. Fields are those of `model/fields.py`.

Text is split into terms before, so that no analysis of OpenSearch is used. An index is sorted as the results are, by
popularity and then by length, so that most searches read only the first documents that match.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from matinee.drivers.opensearch import OpenSearch, join_lines
from matinee.search.model.documents import NameDocument
from matinee.search.model.fields import (
    ADULT,
    CORRECTED_LETTERS,
    ENOUGH,
    GROUP_SHARES,
    KEPT_OF_ONE,
    LIMITED,
    MOST_GROUPS,
    NAMES_OF_ONE,
    SIMILAR_OF_ONE,
    SIMILAR_SHARE,
    WIDE_SHARE,
    list_fields,
    list_group_heads,
    list_transposed_terms,
    suffice,
)
from matinee.search.model.folding import join
from matinee.search.model.forms import make_sound
from matinee.search.model.terms import (
    START_LETTERS,
    list_about_words,
    list_grams,
    list_query_heads,
    list_wide_heads,
)
from matinee.search.ports import NameQuery

Json: TypeAlias = dict[str, Any]
_TERM: Final[Json] = {"type": "keyword", "doc_values": False}
_TERM_FIELDS: Final = (
    "kind",
    "ages",
    "territories",
    "people",
    "genres",
    "whole",
    "starts",
    "heads",
    "sound",
    "words",
)
_PROPERTIES: Final[Json] = {
    "owner": {"type": "keyword"},
    **dict.fromkeys(_TERM_FIELDS, _TERM),
    # The only terms that are listed, which takes doc values.
    "initials": {"type": "keyword"},
    # The only terms that are weighed, by BM25.
    "grams": {"type": "text", "analyzer": "whitespace", "index_options": "docs"},
    "popularity": {"type": "double"},
    "length": {"type": "short"},
    "body": {"type": "binary", "doc_values": True},
}
_ORDER: Final[Mapping[str, str]] = {"popularity": "desc", "length": "asc"}
_SORT: Final = [{field: order} for field, order in _ORDER.items()]
_MOST_LETTERS: Final = 1_000
_decoder = msgspec.msgpack.Decoder(NameDocument)


def build_definition(*, created_at: datetime, alias: str, shards: int, replicas: str) -> Json:
    """Return the definition of a new index, into which many documents are put before the first search."""
    return {
        "aliases": {alias: {}},
        "settings": {
            "number_of_shards": shards,
            "auto_expand_replicas": replicas,
            "refresh_interval": "-1",
            "translog.durability": "async",
            "sort.field": [*_ORDER],
            "sort.order": [*_ORDER.values()],
            "codec": "best_compression",
        },
        "mappings": {
            "_meta": {"created_at": created_at.isoformat()},
            "_source": {"enabled": False},
            "dynamic": "strict",
            "properties": _PROPERTIES,
        },
    }


# When it is complete, a write is on disk before it is acknowledged.
FINISHED: Final[Json] = {"refresh_interval": None, "translog.durability": "request"}


def list_ids(owner: str, count: int, start: int = 0) -> list[str]:
    """Return the ids of the documents of an owner."""
    return [f"{owner}-{place}" for place in range(start, count)]


def encode_documents(index: str, documents: Mapping[str, Sequence[NameDocument]], size_bytes: int) -> list[bytes]:
    """Return the lines of `_bulk` that write documents, in requests of about a size."""
    requests: list[bytes] = []
    lines: list[bytes] = []
    size = 0
    for owner, own in documents.items():
        for document_id, document in zip(list_ids(owner, len(own)), own, strict=True):
            pair = (encode_action("index", index, document_id), msgspec.json.encode(_to_json(document)))
            lines += pair
            size += sum(map(len, pair))
        if size >= size_bytes:
            requests.append(join_lines(lines))
            lines, size = [], 0
    return [*requests, join_lines(lines)] if lines else requests


def encode_action(action: str, index: str, document_id: str) -> bytes:
    """Return the line of `_bulk` that names a document."""
    return msgspec.json.encode({action: {"_index": index, "_id": document_id}})


def _to_json(document: NameDocument) -> Json:
    return {
        **{field: " ".join(terms) if field == "grams" else terms for field, terms in list_fields(document).items()},
        "popularity": document.popularity,
        "length": min(len(document.form), _MOST_LETTERS),
        "body": base64.b64encode(msgspec.msgpack.encode(document)).decode(),
    }


class _Search(NamedTuple):
    """A search for a condition: by popularity, unless `alike`; with `distinct`, one document of each owner.

    It is for a share of the owners that are wanted, and for `most` of them.
    """

    wanted: Json
    distinct: bool = False
    alike: bool = False
    share: float = 1.0
    most: int | None = None

    def count_owners(self, limit: int) -> int:
        return self.most or round(limit * self.share)


def _term(field: str, text: str) -> Json:
    return {"term": {field: text}}


def _any_term(field: str, texts: Sequence[str]) -> Json:
    return {"terms": {field: texts}}


def _every(conditions: Sequence[Json]) -> Json:
    return {"bool": {"filter": conditions}}


class Finder:
    """Searches of an index or alias for the viewer of a query. All raise as the driver does."""

    def __init__(self, opensearch: OpenSearch, index: str, query: NameQuery) -> None:
        self._opensearch = opensearch
        self._index = index
        self._query = query
        self._documents: dict[str, NameDocument] = {}

    async def find(self) -> list[NameDocument]:
        """Return the documents that `TextIndex.find` describes: by one request, or two where these are needed."""
        query, first = self._query, self._query.forms[0]
        exact = [(form, search) for form in query.forms for search in _list_exact(form, all_letters=query.exact)]
        found: dict[str, dict[str, None]] = {form: {} for form in query.forms}
        for (form, _), kept in zip(exact, await self._search([each for _, each in exact]), strict=True):
            found[form] |= kept
        names = self._gather(found.values())
        if query.exact:
            return names
        short = [form for form in query.forms if len(found[form]) < ENOUGH]
        similar = [each for form in short for each in (_list_wide(form) if query.wide else _list_similar(form, first))]
        is_needed = query.about and not suffice(names, first)
        about = [each for form in query.forms for each in _list_about(form)] if is_needed else []
        more = await self._search([*similar, *about])
        names = self._gather([*found.values(), *more[: len(similar)]])
        return names if suffice(names, first) else [*names, *self._gather(more[len(similar) :])]

    async def list_about(self, field: str, term: str) -> list[NameDocument]:
        """Return the documents that `TextIndex.list_about` describes, for a viewer."""
        return self._gather(await self._search([_Search(_term(field, term), distinct=True)]))

    def _gather(self, kept: Iterable[Iterable[str]]) -> list[NameDocument]:
        return [self._documents[each] for each in dict.fromkeys(each for some in kept for each in some)]

    async def _search(self, searches: Sequence[_Search]) -> list[dict[str, None]]:
        """Return the bodies of the documents that each search finds, of `limit` owners whom the viewer may find now."""
        limit = self._query.limit
        owners = [search.count_owners(limit) for search in searches]
        sizes = [
            count if search.distinct else count * SIMILAR_OF_ONE for search, count in zip(searches, owners, strict=True)
        ]
        hits = await self._request(searches, sizes)
        kept = [self._keep(some, count) for some, count in zip(hits, owners, strict=True)]
        # Those that may not be found now have taken the places of others.
        short = [
            place
            for place, search in enumerate(searches)
            if search.distinct and len(hits[place]) == sizes[place] and len(kept[place]) < owners[place]
        ]
        if short:
            sizes = [owners[place] * NAMES_OF_ONE for place in short]
            more = await self._request([searches[place] for place in short], sizes)
            for place, some in zip(short, more, strict=True):
                kept[place] = self._keep(some, owners[place])
        return kept

    async def _request(self, searches: Sequence[_Search], sizes: Sequence[int]) -> list[list[Json]]:
        audience = _build_audience(self._query)
        bodies = [_build_body(search, audience, size) for search, size in zip(searches, sizes, strict=True)]
        return await self._opensearch.search((self._index, body) for body in bodies)

    def _keep(self, hits: Sequence[Json], limit: int) -> dict[str, None]:
        owners: Counter[str] = Counter()
        kept: dict[str, None] = {}
        for hit in hits:
            body = _get_body(hit)
            document = self._documents.get(body)
            if document is None:
                document = self._documents[body] = _decode(body)
            if owners[document.owner] < KEPT_OF_ONE and self._query.may_find(document):
                owners[document.owner] += 1
                kept[body] = None
                if len(owners) > limit:
                    break
        return kept


async def select(
    opensearch: OpenSearch, index: str, terms: Mapping[str, Sequence[str]], *, limit: int
) -> list[NameDocument]:
    """Return documents that have one of the terms of each field."""
    wanted = _every([_any_term(field, [*texts]) for field, texts in terms.items()])
    (hits,) = await opensearch.search([(index, _build_body(_Search(wanted), {}, limit))])
    return [_decode(_get_body(hit)) for hit in hits]


async def list_terms(opensearch: OpenSearch, index: str, field: str, prefix: str, *, limit: int) -> list[str]:
    """Return the terms of a field with a prefix, which has no character of a regular expression."""
    terms = {"terms": {"field": field, "include": f"{prefix}.*", "size": limit}}
    body = msgspec.json.encode({"size": 0, "track_total_hits": False, "aggs": {"found": terms}})
    found = await opensearch.request("POST", f"/{index}/_search", body=body, repeat=True)
    return [bucket["key"] for bucket in found["aggregations"]["found"]["buckets"]]


def _list_exact(form: str, *, all_letters: bool) -> list[_Search]:
    """Return the searches for names that begin with a form; with `all_letters`, or have all of its trigrams."""
    letters = join(form)
    fields = ("whole", "starts") if len(letters) <= START_LETTERS else ("whole",)
    searches = [
        _Search(_term(field, group + letters), distinct=True, share=share)
        for field in fields
        for group, share in GROUP_SHARES.items()
    ]
    if all_letters and len(letters) > START_LETTERS:
        every = _every([_term("grams", gram) for gram in list_grams(letters, marked=False)])
        searches.append(_Search(every, distinct=True))
    return searches


def _list_similar(form: str, first: str) -> list[_Search]:
    """Return the searches for names like a form; the other ones are spellings of the first: fewer suffice."""
    letters = join(form)
    if len(letters) < CORRECTED_LETTERS:
        return []
    searches: list[_Search] = []
    if form == first:
        searches += [_Search(_any_term("heads", heads), share=SIMILAR_SHARE) for heads in list_query_heads(letters)]
        groups = [_term("heads", head) for head in list_group_heads(letters)]
        searches.append(_Search({"bool": {"should": groups}}, alike=True, most=MOST_GROUPS))
        if starts := list_transposed_terms(letters):
            searches.append(_Search(_any_term("starts", starts)))
        if sound := make_sound(form):
            searches.append(_Search(_term("sound", sound), share=SIMILAR_SHARE))
    if form == first or not first.endswith(form):
        grams = [_term("grams", gram) for gram in list_grams(letters)]
        searches.append(_Search({"bool": {"should": grams}}, alike=True, share=SIMILAR_SHARE))
    return searches


def _list_wide(form: str) -> list[_Search]:
    """Return the search for names that may differ by two edits."""
    heads = list_wide_heads(join(form))
    return [_Search(_any_term("heads", heads), share=WIDE_SHARE)] if heads else []


def _list_about(form: str) -> list[_Search]:
    """Return the search for `about` documents with every word of a form, the last one as a prefix."""
    words, last = list_about_words(form)
    parts = [_term("words", word) for word in words]
    if last:
        parts.append({"prefix": {"words": last}})
    return [_Search(_every(parts), distinct=True)] if parts else []


def _build_audience(query: NameQuery) -> Json:
    """Return the conditions by which a viewer may find a document: few terms, since most documents meet them."""
    elsewhere = {"filter": [_term("territories", LIMITED)], "must_not": [_term("territories", query.territory)]}
    ages = [_term("ages", str(max(0, query.maturity)))] if query.maturity < ADULT else []
    return {"must_not": [{"bool": elsewhere}], "filter": ages}


def _build_body(search: _Search, audience: Json, size: int) -> Json:
    conditions = {"must_not": audience.get("must_not", []), "filter": audience.get("filter", [])}
    if search.alike:
        conditions["must"] = [search.wanted]
    else:
        conditions["filter"] = [search.wanted, *conditions["filter"]]
    return {
        "query": {"bool": conditions},
        "size": size,
        "track_total_hits": False,
        # What is stored otherwise, ids among it, would have to be decompressed.
        "stored_fields": "_none_",
        "docvalue_fields": ["body"],
        **({} if search.alike else {"sort": _SORT}),
        **({"collapse": {"field": "owner"}} if search.distinct else {}),
    }


def _get_body(hit: Json) -> str:
    body: str = hit["fields"]["body"][0]
    return body


def _decode(body: str) -> NameDocument:
    # OpenSearch leaves out the padding.
    return _decoder.decode(base64.urlsafe_b64decode(f"{body}=="))
