"""The order of what was found: how well the text matches first, then how popular it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from matinee.kit.ids import TitleId
from matinee.search.api import Match
from matinee.search.model.affinity import Affinity, measure
from matinee.search.model.documents import NameDocument
from matinee.search.model.folding import drop_article, join
from matinee.search.model.forms import can_be_romaji, is_key_of, make_sound
from matinee.search.model.matching import match_name, match_sound
from matinee.search.model.origins import is_origin

_POPULARITY = 0.1
# Popularity is a share of the most popular title's: differences count by their order of magnitude, down to this one.
_LEAST_POPULAR = 1e-4
_LEAST_MAGNITUDE = math.log10(_LEAST_POPULAR)
# As much as ten times the plays.
_AFFINITY = 0.025
_LANGUAGE = 0.01
_LATER_FORM = 0.005
# Of a query whose article a name does not have, where it is the rest of the query, and where it is more.
_OTHER_ARTICLE, _LONGER = 0.15, 0.3
# Of a query with letters that romaji does not have, read as Japanese.
_JAPANESE = "ja"
_FOREIGN_LETTERS, _FOREIGN = frozenset("lv"), 0.3
# A query with errors is rather a name in Latin letters than the transliteration of another one.
_TRANSLITERATED, _NOT_LATIN = 0.05, "\u0370"
# More than popularity: a title comes before an episode of the same name.
_EPISODE = -0.12
_AS_LIKELY = 0.05
# Titles of a group that is less likely than a name.
_TITLES_BETWEEN = 4
# More than any other score.
_PINNED = 2.0
# A studio or a franchise is as likely to be meant as a title with a hundredth of the plays of the most popular one.
_GROUP_POPULARITY = 0.01
# What is known of a title counts less than its name, unless the query is a genre, a person, a studio or a franchise.
_ABOUT, _OF_NAMED = 0.72, 1.06
# A single adjective: popular titles of the country come before unpopular names that begin with it.
_OF_ORIGIN = 0.87


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A document that was found, and the parts of its score."""

    document: NameDocument
    form: str
    match: Match
    score: float
    parts: dict[str, float]


def rank_names(
    forms: Sequence[str],
    documents: Iterable[NameDocument],
    *,
    language: str,
    popularity: Mapping[TitleId, float],
    affinity: Affinity,
) -> list[Ranked]:
    """Return the documents that answer a query, the best one of each owner, best first.

    Studios and franchises are among them where the query has to be corrected.
    """
    best: dict[tuple[str, str], Ranked] = {}
    spellings = [_Spelling(form, place, forms) for place, form in enumerate(forms)]
    viewer = _Viewer(language, popularity, affinity)
    found = [ranked for document in documents if (ranked := _rank(spellings, document, viewer))]
    names_group = any(each.match == "exact" and each.document.kind in {"genre", "person"} for each in found)
    for ranked in found:
        document = ranked.document
        if names_group and document.kind == "about":
            ranked = _raise(ranked)
        kind = "title" if document.kind in {"episode", "about"} else document.kind
        key = (kind, document.owner)
        if key not in best or ranked.score > best[key].score:
            best[key] = ranked
    order = sorted(best.values(), key=lambda ranked: (-ranked.score, ranked.document.name, ranked.document.owner))
    if order and order[0].match == "corrected":
        return order
    return [ranked for ranked in order if ranked.document.kind != "group"]  # these only correct a query


def pin(document: NameDocument, form: str, place: int) -> Ranked:
    """Return a title that editors put before all that is found, at a place from 0."""
    parts = {"pinned": _PINNED - place * _LATER_FORM}
    return Ranked(document, form, "about", sum(parts.values()), parts)


def find_named(corrected: Sequence[Ranked]) -> Ranked | None:
    """Return the person or the genre that is first in what a corrected query found, or the group that is as likely.

    Of a studio and a franchise that are as likely the one with the shorter name.
    """
    likely = [each for each in corrected if each.score >= corrected[0].score - _AS_LIKELY]
    if likely[0].document.kind in {"person", "genre"}:
        return likely[0]
    groups = [each for each in likely if each.document.kind == "group"]
    alike = [each for each in groups if each.document.form == groups[0].document.form]
    return min(alike, key=lambda each: len(each.document.name), default=None)


def has_number(ranked: Sequence[Ranked], number: str) -> bool:
    """Return whether a name that ends with a number is as likely as all others that a query with errors found."""
    corrected = [each for each in ranked if each.match == "corrected"]
    return any(
        each.document.form.endswith(f" {number}") and each.score >= corrected[0].score - _AS_LIKELY
        for each in corrected
    )


def add_titles_of(corrected: Sequence[Ranked], named: Iterable[Ranked]) -> list[Ranked]:
    """Return what a corrected query found, with the titles of the person, the genre or the group that was meant.

    Titles with a name that is hardly less like the query than that of the person come before those of the person.
    """
    known = {each.document.owner for each in corrected if each.score >= corrected[0].score - _AS_LIKELY}
    titles = [each for each in named if each.match == "about" and each.document.owner not in known]
    likely = [each for each in corrected if each.document.owner in known]
    own = {each.document.owner for each in titles}
    return [*likely, *titles, *(each for each in corrected if each.document.owner not in known | own)]


def add_titles_of_group(
    group: Ranked, titles: Sequence[Ranked], names: Sequence[Ranked]
) -> tuple[list[Ranked], str | None]:
    """Return what a corrected query found, with the titles of a studio or a franchise, and the name that was meant.

    The group is what was meant unless a name is more likely, or is as likely and the same, as that of the first film of
    a franchise. Then some of its titles come after the names that are as likely.
    """
    letters = join(drop_article(group.document.form))
    likely = [each for each in names if each.score >= names[0].score - _AS_LIKELY]
    is_name = any(join(drop_article(each.document.form)) == letters for each in likely)
    if titles and (not names or (group.score >= names[0].score and not is_name)):
        own = {each.document.owner for each in titles}
        return [*titles, *(each for each in names if each.document.owner not in own)], group.document.name
    return (add_titles_of(names, titles[:_TITLES_BETWEEN]), names[0].document.name) if names else ([], None)


def _raise(ranked: Ranked) -> Ranked:
    parts = {**ranked.parts, "text": _OF_NAMED}
    return replace(ranked, parts=parts, score=sum(parts.values()))


class _Spelling:
    """A form of a query, and what is subtracted from the score of a name that answers it."""

    __slots__ = ("can_be_romaji", "exact_loss", "form", "is_ascii", "loss", "only_japanese")

    def __init__(self, form: str, place: int, forms: Sequence[str]) -> None:
        self.form, self.is_ascii = form, form.isascii()
        self.only_japanese = is_key_of(form, forms[0])
        self.can_be_romaji = can_be_romaji(form)
        self.loss = self.exact_loss = place * _LATER_FORM
        if self.only_japanese and not _FOREIGN_LETTERS.isdisjoint(forms[0]):
            self.loss = self.exact_loss = self.loss + _FOREIGN
        if any(form == drop_article(other) != other for other in forms[:place]):
            self.loss, self.exact_loss = self.loss + _LONGER, self.exact_loss + _OTHER_ARTICLE


class _Viewer(NamedTuple):
    """What order depends on besides the text."""

    language: str
    popularity: Mapping[TitleId, float]
    affinity: Affinity


def _rank(spellings: Sequence[_Spelling], document: NameDocument, viewer: _Viewer) -> Ranked | None:
    found = _match_about(spellings, document) if document.kind == "about" else _match_forms(spellings, document)
    if found is None:
        return None
    match, text, form = found
    if document.kind == "group" and match != "corrected":
        return None  # its titles are found themselves
    own = _GROUP_POPULARITY if document.kind == "group" else document.popularity
    popularity = viewer.popularity.get(TitleId(document.owner), own)
    is_own = document.language.partition("-")[0] == viewer.language.partition("-")[0]
    parts = {
        "text": text,
        "popularity": _POPULARITY * scale_popularity(popularity),
        "affinity": _AFFINITY * measure(viewer.affinity, document.genres) if viewer.affinity else 0.0,
        "language": _LANGUAGE if is_own else 0.0,
        "episode": _EPISODE if document.kind == "episode" else 0.0,
    }
    return Ranked(document, form, match, sum(parts.values()), parts)


def _match_about(spellings: Sequence[_Spelling], document: NameDocument) -> tuple[Match, float, str]:
    for spelling in spellings if document.groups else ():
        if not spelling.only_japanese and join(spelling.form) in document.groups:
            return "about", _OF_NAMED - spelling.exact_loss, spelling.form
    first = spellings[0].form
    is_from_there = is_origin(first) and f" {first} " in f" {document.form} "
    return "about", _OF_ORIGIN if is_from_there else _ABOUT, first


def _match_forms(spellings: Sequence[_Spelling], document: NameDocument) -> tuple[Match, float, str] | None:
    """Return how a name answers the best of the forms of a query: the kind, the score, and the form."""
    best: tuple[Match, float, str] | None = None
    name, is_ascii = document.form, document.form.isascii()
    for spelling in spellings:
        if spelling.is_ascii != is_ascii or (spelling.only_japanese and document.language[:2] != _JAPANESE):
            continue
        if (matched := match_name(spelling.form, name)) is None:
            continue
        is_exact = matched.match == "exact"
        score = matched.score - (spelling.exact_loss if is_exact else spelling.loss)
        if is_ascii and matched.match == "corrected" and max(document.name) >= _NOT_LATIN:
            if document.language[:2] == _JAPANESE and not spelling.can_be_romaji:
                continue
            score -= _TRANSLITERATED if document.kind != "person" else 0.0
        if best is None or score > best[1]:
            best = matched.match, score, spelling.form
            if is_exact:
                break
    if best is None and is_ascii:
        sounds = _list_sounds(tuple(each.form for each in spellings))
        if sounds and make_sound(name) in sounds:
            matched = match_sound(name)
            return matched.match, matched.score, spellings[0].form
    return best


@lru_cache(maxsize=64)
def _list_sounds(forms: tuple[str, ...]) -> frozenset[str]:
    return frozenset(sound for form in forms if (sound := make_sound(form)))


def scale_popularity(popularity: float) -> float:
    """Return a popularity on a logarithmic scale, from 0 to 1."""
    if popularity <= _LEAST_POPULAR:
        return 0.0
    return 1 - math.log10(min(1.0, popularity)) / _LEAST_MAGNITUDE
