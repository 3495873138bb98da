"""Finding: read the query, ask the index, rank what it returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from matinee.kit.clock import Clock
from matinee.kit.ids import PersonId, ProfileId, TitleId
from matinee.kit.problem import Fault, Invalid
from matinee.search.api import (
    Explanation,
    GenreHit,
    IndexStatus,
    PersonHit,
    Reason,
    SearchResult,
    TitleHit,
)
from matinee.search.model.affinity import Affinity
from matinee.search.model.documents import NameDocument
from matinee.search.model.episodes import EpisodeQuery, parse_episode, split_number
from matinee.search.model.fillers import drop_fillers
from matinee.search.model.folding import LENGTH_LIMIT, fold, is_latin, join
from matinee.search.model.forms import read_query
from matinee.search.model.keyboards import swap_layout
from matinee.search.model.matching import find_highlights
from matinee.search.model.ranking import (
    Ranked,
    add_titles_of,
    add_titles_of_group,
    find_named,
    has_number,
    pin,
    rank_names,
)
from matinee.search.ports import NameQuery, TextIndex
from matinee.search.service.affinities import Affinities
from matinee.search.service.candidates import Candidates
from matinee.search.service.editing import Editor
from matinee.search.service.indexing import Indexer

LIMIT = 100
_CANDIDATES = 36
_PEOPLE, _GENRES = 8, 4
# Shorter queries say too little about the keyboard.
_SWAPPED_LETTERS = 3
# What is left of a query that is searched for with a word less.
_WORDS, _SHORTENED_LETTERS = 6, 4
# Shorter queries are prefixes of too many words for what is known of titles to help.
_ABOUT_LETTERS = 3


class _Viewer(NamedTuple):
    """Who searches, when, and for how many titles; and the queries that old documents answered."""

    language: str
    territory: str
    maturity: int
    now: datetime
    limit: int
    affinity: Affinity
    outdated: list[NameQuery]

    def select(self, document: NameDocument) -> NameDocument | None:
        """Return a document as the viewer may find it, None if that is not at all."""
        titles = document.count_for(self.territory, self.maturity, self.now)
        if not titles:
            return None
        return replace(document, titles=titles) if document.parts else document


class _Answer(NamedTuple):
    """The text that was searched for, the episode that it was for, what was found, and the correction of the text."""

    text: str
    episode: EpisodeQuery | None
    ranked: list[Ranked]
    correction: str | None


class SearchService:
    """Implements the part of `Search` that finds."""

    def __init__(
        self, *, index: TextIndex, indexer: Indexer, affinities: Affinities, editor: Editor, clock: Clock
    ) -> None:
        self._index = index
        self._candidates = Candidates(index=index, clock=clock)
        self._indexer = indexer
        self._affinities = affinities
        self._editor = editor
        self._clock = clock

    async def find(
        self,
        *,
        query: str,
        language: str = "en",
        territory: str,
        maturity: int = 18,
        limit: int = 20,
        profile_id: ProfileId | None = None,
    ) -> SearchResult:
        _check_limit(limit)
        affinity = await self._affinities.get(profile_id)
        viewer = _Viewer(language, territory, maturity, self._clock.now(), limit, affinity, outdated=[])
        asked, episode, ranked, correction = await self._answer(query[:LENGTH_LIMIT], viewer)
        by_kind: dict[str, list[Ranked]] = {"title": [], "person": [], "genre": []}
        for each in ranked:
            kind = each.document.kind
            by_kind[kind if kind in by_kind else "title"].append(each)
        asked = correction or asked
        titles = [_to_title_hit(asked, each) for each in by_kind["title"][:limit]]
        return SearchResult(
            titles=await self._find_episode(titles, episode) if episode else titles,
            people=[_to_person_hit(asked, each) for each in by_kind["person"][:_PEOPLE]],
            genres=[_to_genre_hit(asked, each) for each in by_kind["genre"][:_GENRES]],
            correction=correction,
            partial=bool(viewer.outdated),
        )

    async def _find_episode(self, titles: list[TitleHit], wanted: EpisodeQuery) -> list[TitleHit]:
        """Name the wanted episode of each title that has it; those come first."""
        about = await self._index.load_about([hit.title_id for hit in titles])
        ids = {
            title_id: episode_id
            for title_id, document in about.items()
            for season_number, number, episode_id in document.episodes
            if number == wanted.number and season_number == (wanted.season_number or 1)
        }
        named = [replace(hit, episode_id=ids[hit.title_id]) for hit in titles if hit.title_id in ids]
        return [*named, *(hit for hit in titles if hit.title_id not in ids)]

    async def explain(
        self,
        *,
        query: str,
        language: str = "en",
        territory: str,
        maturity: int = 18,
        limit: int = 20,
        profile_id: ProfileId | None = None,
    ) -> Explanation:
        _check_limit(limit)
        affinity = await self._affinities.get(profile_id)
        viewer = _Viewer(language, territory, maturity, self._clock.now(), limit, affinity, outdated=[])
        asked, _, ranked, correction = await self._answer(query[:LENGTH_LIMIT], viewer)
        return Explanation(
            forms=[*read_query(correction or asked)],
            reasons=[
                Reason(
                    id=each.document.owner,
                    name=each.document.name,
                    form=each.document.form,
                    match=each.match,
                    score=each.score,
                    parts=each.parts,
                )
                for each in ranked[:limit]
            ],
        )

    async def request_rebuild(self) -> None:
        self._indexer.request_rebuild()

    async def get_status(self) -> IndexStatus:
        stored = await self._index.describe()
        return IndexStatus(
            engine=stored.engine,
            version=stored.version,
            names=stored.documents,
            size_bytes=stored.size_bytes,
            created_at=stored.created_at,
            building=self._indexer.progress,
        )

    async def _answer(self, query: str, viewer: _Viewer) -> _Answer:
        """Search for a query; the titles that editors pinned to it come first."""
        answer = await self._answer_unpinned(query, viewer)
        if not (title_ids := self._editor.get_rules().list_pinned(query)):
            return answer
        about = await self._index.load_about(title_ids)
        documents = [selected for each in title_ids if each in about and (selected := viewer.select(about[each]))]
        if not documents:
            return answer
        pinned = [pin(document, fold(query), place) for place, document in enumerate(documents)]
        owners = {document.owner for document in documents}
        others = [each for each in answer.ranked if each.document.owner not in owners]
        return answer._replace(ranked=[*pinned, *others])

    async def _answer_unpinned(self, query: str, viewer: _Viewer) -> _Answer:
        """Search for a query and, where that is one for an episode and no name has its words, for the series."""
        ranked, correction = await self._search(query, viewer)
        if ranked and not correction and ranked[0].match != "about":
            return _Answer(query, None, ranked, correction)
        if (parts := split_number(query)) and not has_number(ranked, parts[1]):
            named = await self._find(read_query(parts[0]), viewer)
            if _has_name(named, parts[0]):
                return _Answer(parts[0], None, named, None)
        if (ranked and not correction) or (episode := parse_episode(query)) is None:
            return _Answer(query, None, ranked, correction)
        return _Answer(episode.name, episode, *await self._search(episode.name, viewer))

    async def _search(self, query: str, viewer: _Viewer) -> tuple[list[Ranked], str | None]:
        """Return what was found, and the text that was searched for instead where the query itself has no answer."""
        meanings = (form for text in self._editor.get_rules().list_meanings(query) for form in read_query(text))
        ranked = await self._find(tuple(dict.fromkeys((*read_query(query), *meanings))), viewer)
        if ranked and ranked[0].match != "corrected":
            return ranked, None
        for swapped in _list_swapped(query):
            found = await self._find((fold(swapped),), viewer, exact=True)
            if found and found[0].match in {"exact", "prefix"}:
                return found, swapped
        corrected, name = await self._correct(ranked, viewer)
        if not corrected and parse_episode(query) is None:
            corrected, name = await self._correct(await self._find((fold(query),), viewer, wide=True), viewer)
        return (corrected, name) if corrected else await self._search_with_less(query, viewer)

    async def _correct(self, ranked: list[Ranked], viewer: _Viewer) -> tuple[list[Ranked], str | None]:
        """Return what was found by a query with errors, with the titles of what it names, and the name that was meant.

        A studio or a franchise is what was meant only where the viewer may find a title of it.
        """
        names = [each for each in ranked if each.document.kind != "group"]
        if ranked and (named := find_named(ranked)) is not None:
            document = named.document
            if document.kind != "group":
                return add_titles_of(names, await self._find(read_query(document.name), viewer)), document.name
            found = await self._find((document.form,), viewer, exact=True)
            titles = [each for each in found if join(document.form) in each.document.groups]
            return add_titles_of_group(named, titles, names)
        return names, names[0].document.name if names else None

    async def _search_with_less(self, query: str, viewer: _Viewer) -> tuple[list[Ranked], str | None]:
        """Search for a query without words that are seldom part of a name, or for a name without one of the words."""
        if rest := drop_fillers(fold(query)):
            found = await self._find(read_query(rest), viewer)
            if found and found[0].match != "corrected":
                return found, rest
            corrected, name = await self._correct(found, viewer)
            if corrected:
                return corrected, name
        for text in _list_shortened(query):
            found = await self._find((fold(text),), viewer, exact=True)
            if found and found[0].match == "exact":
                return found, text
        return [], None

    async def _find(
        self, forms: tuple[str, ...], viewer: _Viewer, *, exact: bool = False, wide: bool = False
    ) -> list[Ranked]:
        if not any(forms):
            return []
        wanted = NameQuery(
            forms=forms,
            territory=viewer.territory,
            maturity=viewer.maturity,
            now=viewer.now,
            limit=max(_CANDIDATES, viewer.limit * 3 // 2),
            exact=exact,
            about=not wide and (not is_latin(forms[0]) or len(forms[0]) >= _ABOUT_LETTERS),
            wide=wide,
        )
        found, is_old = await self._candidates.find(wanted)
        if is_old:
            viewer.outdated.append(wanted)
        visible = [selected for each in found if (selected := viewer.select(each))]
        ranked = rank_names(
            forms,
            visible,
            language=viewer.language,
            popularity=self._indexer.get_popularity(),
            affinity=viewer.affinity,
        )
        hidden = {each.document.owner for each in ranked if each.document.kind == "genre"}
        for genre_id in [*hidden]:
            if any(viewer.select(title) for title in await self._index.list_about("genres", genre_id, viewer=wanted)):
                hidden.remove(genre_id)
        return [each for each in ranked if each.document.kind != "genre" or each.document.owner not in hidden]


def _has_name(ranked: Sequence[Ranked], name: str) -> bool:
    """Return whether the first name that was found has the words of another, none of them unfinished."""
    if not ranked or ranked[0].match not in {"exact", "prefix"}:
        return False
    first = ranked[0]
    if is_latin(fold(name)) and not is_latin(fold(first.document.name)):
        return False  # many short words are the transliteration of a name
    return first.match == "exact" or f" {fold(name)} " in f" {first.document.form} "


def _list_swapped(query: str) -> Iterable[str]:
    """Return what a query is in other keyboard layouts, unless one of its keys has no letter there."""
    length = len(join(fold(query)))
    return [text for text in swap_layout(query) if _SWAPPED_LETTERS <= length <= len(join(fold(text)))]


def _list_shortened(query: str) -> Iterable[str]:
    """Return a query without each one of its words, the longest first."""
    words = query.split()
    if not 2 <= len(words) <= _WORDS:
        return []
    shortened = (" ".join(words[:place] + words[place + 1 :]) for place in range(len(words)))
    return sorted((text for text in shortened if len(join(fold(text))) >= _SHORTENED_LETTERS), key=len, reverse=True)


def _to_title_hit(query: str, ranked: Ranked) -> TitleHit:
    document = ranked.document
    title_id, episode_id = TitleId(document.owner), document.episode_id
    return TitleHit(title_id=title_id, episode_id=episode_id, **_describe(query, ranked))


def _to_person_hit(query: str, ranked: Ranked) -> PersonHit:
    document = ranked.document
    return PersonHit(person_id=PersonId(document.owner), titles=document.titles, **_describe(query, ranked))


def _to_genre_hit(query: str, ranked: Ranked) -> GenreHit:
    return GenreHit(genre_id=ranked.document.owner, **_describe(query, ranked))


def _describe(query: str, ranked: Ranked) -> dict[str, Any]:
    """Return the fields that hits of all kinds have."""
    name = ranked.document.name
    highlights = find_highlights(query, name)
    return {"name": name, "match": ranked.match, "score": ranked.score, "highlights": highlights}


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LIMIT:
        raise Invalid(faults=[Fault("limit", f"from 1 to {LIMIT}")])
