"""The documents of an index in tantivy, and the queries that find them. Fields are those of `model/fields.py`.

Text is split into terms before, so that tantivy's own analysis is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias

import msgspec
import tantivy

from matinee.kit.hashing import sha256_hex
from matinee.search.model.documents import NameDocument
from matinee.search.model.fields import (
    ADULT,
    CORRECTED_LETTERS,
    ENOUGH,
    GROUP_SHARES,
    GROUPS,
    KEPT_OF_ONE,
    LIMITED,
    MOST_GROUPS,
    NAMES_OF_ONE,
    SIMILAR_OF_ONE,
    SIMILAR_SHARE,
    WIDE_SHARE,
    is_limited,
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

_LAST_WORD_TERMS = 40
# So many documents stay in memory, some 20 MB.
_KEPT = 16_384
# Fields whose terms are written as one text.
_TEXTS = frozenset({"starts", "heads", "grams", "words"})
_decoder = msgspec.msgpack.Decoder(NameDocument)
_Address: TypeAlias = tuple[int, int]
_Conditions: TypeAlias = list[tuple[Any, Any]]
_Query = tantivy.Query
_Should, _Must, _MustNot = tantivy.Occur.Should, tantivy.Occur.Must, tantivy.Occur.MustNot


def _build_schema() -> Any:
    builder = tantivy.SchemaBuilder()
    for name in ("owner", "kind", "whole", "sound", "ages", "territories", "people", "genres", "initials"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("starts", "heads", "grams", "words"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    builder.add_float_field("popularity", fast=True)
    builder.add_unsigned_field("owner_number", fast=True)
    builder.add_bytes_field("body", stored=True)
    return builder.build()


SCHEMA = _build_schema()


def write(writer: Any, documents: Mapping[str, Sequence[NameDocument]]) -> None:
    """Replace the documents of each owner; they are found after a commit."""
    for owner, own in documents.items():
        writer.delete_documents_by_term("owner", owner)
        for document in own:
            writer.add_document(_to_tantivy(document))


def _to_tantivy(document: NameDocument) -> Any:
    made = tantivy.Document()
    for field, terms in list_fields(document).items():
        for text in [" ".join(terms)] if field in _TEXTS else terms:
            made.add_text(field, text)
    made.add_unsigned("owner_number", _make_owner_number(document))
    made.add_float("popularity", document.popularity)
    made.add_bytes("body", msgspec.msgpack.encode(document))
    return made


class Reader:
    """Finds documents with one searcher; those that were read last stay in memory."""

    def __init__(self, searcher: Any) -> None:
        self._searcher = searcher
        self._decode = lru_cache(maxsize=_KEPT)(partial(_decode, searcher))
        self.documents: int = searcher.num_docs

    def find(self, query: NameQuery) -> list[NameDocument]:
        """Return the documents that `TextIndex.find` describes."""
        audience, first = _build_audience_query(query), query.forms[0]
        found: dict[_Address, None] = {}
        for form in query.forms:
            # The others are spellings of the first one: fewer corrections suffice.
            is_part = form != first and first.endswith(form)
            found |= self._find_names(query, audience, form, thorough=form == first, is_part=is_part)
        names = [self._decode(address) for address in found]
        if query.exact or not query.about or suffice(names, first):
            return names
        return [*names, *self._find_about(query, audience)]

    def list_about(self, field: str, term: str, query: NameQuery) -> list[NameDocument]:
        """Return the documents that `TextIndex.list_about` describes, for a viewer."""
        found = self._search(_term(field, term), _build_audience_query(query), query, names=NAMES_OF_ONE)
        return [self._decode(address) for address in found]

    def list_terms(self, field: str, prefix: str, *, limit: int) -> list[str]:
        """Return the terms of a field with a prefix, those of documents that were replaced among them."""
        return [term for term, _ in self._searcher.terms_with_prefix(field, prefix, limit=limit)]

    def select(self, terms: Mapping[str, Sequence[str]], *, limit: int) -> list[NameDocument]:
        """Return documents that have one of the terms of each field."""
        conditions = [(_Must, _any_term(field, texts)) for field, texts in terms.items()]
        hits = self._searcher.search(_Query.boolean_query(conditions), limit, count=False).hits
        # They may be many: those that searches need stay in memory.
        return [_decode(self._searcher, (address.segment_ord, address.doc)) for _, address in hits]

    def _find_names(
        self, query: NameQuery, audience: _Conditions, form: str, *, thorough: bool, is_part: bool
    ) -> dict[_Address, None]:
        """Return the documents of names that are like a form, as far as their number is needed."""
        letters = join(form)
        fields = ("whole", "starts") if len(letters) <= START_LETTERS else ("whole",)
        found: dict[_Address, None] = {}
        for field in fields:
            for group, share in GROUP_SHARES.items():
                if group == GROUPS["episode"] and len(found) >= query.limit:
                    continue  # so many titles come before them
                text = group + letters
                if self._searcher.doc_freq(field, text):  # a small part of the time of a search
                    limit = round(query.limit * share)
                    found |= self._search(_term(field, text), audience, query, limit=limit, names=NAMES_OF_ONE, kept=1)
        if query.exact and len(letters) > START_LETTERS:
            every = [(_Must, _term("grams", gram)) for gram in list_grams(letters, marked=False)]
            found |= self._search(_Query.boolean_query(every), audience, query, names=NAMES_OF_ONE)
        # No correction is needed where names begin with these letters.
        if query.exact or len(found) >= ENOUGH or len(letters) < CORRECTED_LETTERS:
            return found
        limit = round(query.limit * SIMILAR_SHARE)
        if query.wide:
            if heads := list_wide_heads(letters):
                limit = round(query.limit * WIDE_SHARE)
                found |= self._search(_any_term("heads", heads), audience, query, limit=limit)
            return found
        if thorough:
            for heads in list_query_heads(letters):
                found |= self._search(_any_term("heads", heads), audience, query, limit=limit)
            if heads := self._select_known("heads", list_group_heads(letters)):
                groups = _any_term("heads", heads)
                found |= self._search(groups, audience, query, limit=MOST_GROUPS, order=None)
            if starts := self._select_known("starts", list_transposed_terms(letters)):
                found |= self._search(_any_term("starts", starts), audience, query)
            if sound := make_sound(form):
                found |= self._search(_term("sound", sound), audience, query, limit=limit)
        if not is_part:
            grams = [(_Should, _term("grams", gram)) for gram in list_grams(letters)]
            found |= self._search(_Query.boolean_query(grams), audience, query, limit=limit, order=None)
        return found

    def _select_known(self, field: str, terms: Iterable[str]) -> list[str]:
        """Return the terms that documents have."""
        return [term for term in terms if self._searcher.doc_freq(field, term)]

    def _find_about(self, query: NameQuery, audience: _Conditions) -> list[NameDocument]:
        """Return the `about` documents that contain every word of a form, the last one as a prefix."""
        found: dict[_Address, None] = {}
        for form in query.forms:
            words, last = list_about_words(form)
            parts = [_term("words", word) for word in words]
            if last:
                endings = [term for term, _ in self._searcher.terms_with_prefix("words", last, limit=_LAST_WORD_TERMS)]
                parts = [*parts, _any_term("words", endings)] if endings else []
            if parts:
                every = _Query.boolean_query([(_Must, part) for part in parts])
                found |= self._search(every, audience, query, names=NAMES_OF_ONE)
        return [self._decode(address) for address in found]

    def _search(
        self,
        wanted: Any,
        audience: _Conditions,
        query: NameQuery,
        *,
        order: str | None = "popularity",
        limit: int | None = None,
        names: int = SIMILAR_OF_ONE,
        kept: int = KEPT_OF_ONE,
    ) -> dict[_Address, None]:
        """Return the documents that meet a condition, ordered by a field, or by likeness where there is none.

        They are of `limit` owners whom the viewer may find now, at most `kept` of each: a series has many names that
        begin alike. `names` of an owner are examined.
        """
        limit = limit or query.limit
        whole = _Query.boolean_query([(_Must, wanted), *audience])
        for examined in (limit * min(names, SIMILAR_OF_ONE), limit * names):
            hits = self._searcher.search(whole, examined, count=False, order_by_field=order).hits
            places, is_enough = self._select_places([address for _, address in hits], query, limit, kept)
            if is_enough or len(hits) < examined:
                break
        return places

    def _select_places(
        self, addresses: Sequence[Any], query: NameQuery, limit: int, kept: int
    ) -> tuple[dict[_Address, None], bool]:
        """Return documents of `limit` owners, at most `kept` of each, and whether there are so many owners."""
        owners: Counter[int] = Counter()
        places: dict[_Address, None] = {}
        for place, owner, is_approximate in self._list_owners(addresses, limit):
            if owners[owner] >= kept or (is_approximate and not query.may_find(self._decode(place))):
                continue
            owners[owner] += 1
            places[place] = None
            if len(owners) > limit:
                return places, True
        return places, False

    def _list_owners(self, addresses: Sequence[Any], limit: int) -> Iterator[tuple[_Address, int, bool]]:
        """Yield documents with a number of the owner, and whether it is not sure that the viewer may find it."""
        places = [(address.segment_ord, address.doc) for address in addresses]
        if len(places) <= limit:  # all are read in any case
            for place in places:
                yield place, hash(self._decode(place).owner), True
            return
        numbers = self._searcher.fast_field_values("owner_number", addresses)
        for place, number in zip(places, numbers, strict=True):
            yield place, number >> 1, bool(number & 1)


def _make_owner_number(document: NameDocument) -> int:
    """Return a number of the owner, whose last bit says whether the document is limited."""
    number = int(sha256_hex(document.owner.encode())[:15], 16)
    return number << 1 | is_limited(document)


def _build_audience_query(query: NameQuery) -> _Conditions:
    """Return the conditions by which a viewer may find a document: few terms, since most documents meet them."""
    elsewhere = [(_Must, _term("territories", LIMITED)), (_MustNot, _term("territories", query.territory))]
    conditions = [(_MustNot, _Query.boolean_query(elsewhere))]
    if query.maturity < ADULT:
        conditions.append((_Must, _term("ages", str(max(0, query.maturity)))))
    return conditions


def _term(field: str, text: str) -> Any:
    return _Query.term_query(SCHEMA, field, text)


def _any_term(field: str, texts: Iterable[str]) -> Any:
    # For few terms this is four times as fast as tantivy's query for a set of terms.
    return _Query.boolean_query([(_Should, _term(field, text)) for text in texts])


def _decode(searcher: Any, address: _Address) -> NameDocument:
    body: bytes = searcher.doc(tantivy.DocAddress(*address)).get_first("body")
    return _decoder.decode(body)
