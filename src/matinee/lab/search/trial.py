"""Search over a generated catalogue, without the rest of a deployment."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple, cast

from matinee.catalogue.api import Genre, Title
from matinee.events.api import Batch
from matinee.kit.clock import SystemClock
from matinee.kit.ids import TitleId
from matinee.kit.page import Page
from matinee.kit.structs import build_from
from matinee.lab.catalogue import GeneratedTitle, generate_titles
from matinee.lab.engines import ENGINES, EngineProcess
from matinee.lab.search.evaluation import Evaluation, Find, evaluate
from matinee.lab.search.parts import without
from matinee.lab.search.queries import generate_queries
from matinee.search.adapters.tantivy import TantivyIndex
from matinee.search.api import Match, RuleKind, SearchRule
from matinee.search.ports import TextIndex
from matinee.search.service import Affinities, Editor, Indexer, SearchService

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
TERRITORY = "DE"
DEPTH = 20


@asynccontextmanager
async def open_index(engine: str, folder: Path) -> AsyncIterator[TextIndex]:
    """Open the index of an engine in a folder; OpenSearch is started there. Raises EngineMissing, EngineFailed."""
    if engine == "tantivy":
        yield TantivyIndex(folder)
        return
    from matinee.drivers.opensearch import OpenSearch  # loaded only when it is used
    from matinee.search.adapters.opensearch import OpenSearchIndex

    with EngineProcess(ENGINES[engine], folder) as running:
        async with OpenSearch(running.url("search")) as opensearch:
            yield OpenSearchIndex(opensearch, SystemClock())


async def build_trial(index: TextIndex, titles: Iterable[GeneratedTitle]) -> SearchService:
    """Index generated titles, and return the service that finds them."""
    clock = SystemClock()
    catalogue = _Catalogue(titles)
    indexer = Indexer(
        index=index,
        popularity=catalogue,
        catalogue=cast(Any, catalogue),  # the methods that indexing calls
        events=cast(Any, _NoEvents()),
        clock=clock,
        executor=_ThisProcess(),
    )
    await indexer.rebuild()
    affinities = Affinities(store=cast(Any, None), index=index, clock=clock)  # no search is made for a profile
    editor = Editor(store=_NoRules(), clock=clock)
    return SearchService(index=index, indexer=indexer, affinities=affinities, editor=editor, clock=clock)


async def evaluate_trial(
    title_count: int,
    query_count: int,
    seed: int,
    on_step: Callable[[str], None],
    *,
    engine: str = "tantivy",
    parts: Iterable[str] = (),
) -> tuple[Evaluation, dict[str, Evaluation]]:
    """Generate a catalogue and queries, index it in a temporary folder, and evaluate what is found.

    Returns the evaluation of the complete search, and without each of some `PARTS`. Raises EngineMissing, EngineFailed.
    """
    on_step(f"generating {title_count} titles")
    titles = list(generate_titles(title_count, seed))
    on_step(f"generating {query_count} queries")
    queries = generate_queries(titles, query_count, seed)
    on_step("building the index")
    with tempfile.TemporaryDirectory(prefix="matinee-search-") as folder:
        async with open_index(engine, Path(folder)) as index:
            search = await build_trial(index, titles)
            find, find_exact = make_find(search), make_find(search, exact=True)
            on_step("searching")
            complete = await evaluate(find, queries, find_exact=find_exact)
            others: dict[str, Evaluation] = {}
            for part in parts:
                on_step(f"searching without: {part}")
                with without(part, engine):
                    others[part] = await evaluate(find, queries, find_exact=find_exact)
            return complete, others


def make_find(search: SearchService, *, exact: bool = False) -> Find:
    """Return a function that finds the ids of titles and people; with `exact`, without corrections."""

    async def find(query: str, language: str) -> list[str]:
        found = await search.find(query=query, language=language, territory=TERRITORY, limit=DEPTH)
        hits: list[tuple[str, Match]] = [(title.title_id, title.match) for title in found.titles]
        hits += [(person.person_id, person.match) for person in found.people]
        return [hit_id for hit_id, match in hits if not exact or match != "corrected"]

    return find


def to_title(generated: GeneratedTitle, *, published_at: datetime | None = None) -> Title:
    """Return a generated title as the catalogue would publish it."""
    return build_from(
        generated.draft,
        Title,
        state="published",
        published_at=published_at,
        audio_languages=generated.audio_languages,
        subtitle_languages=generated.subtitle_languages,
    )


class _ThisProcess:
    """Runs functions in this process."""

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, limit_s: float | None = None) -> T:
        return function(*args)


class _Catalogue:
    """Generated titles, and their popularity."""

    def __init__(self, titles: Iterable[GeneratedTitle]) -> None:
        self._titles: list[Title] = []
        self._popularity: dict[TitleId, float] = {}
        for generated in titles:
            self._titles.append(to_title(generated))
            self._popularity[generated.draft.title_id] = generated.popularity

    async def everything(self, *, cursor: str | None = None, limit: int = 100) -> Page[Title]:
        start = int(cursor or 0)
        end = start + limit
        return Page(items=self._titles[start:end], next_cursor=str(end) if end < len(self._titles) else None)

    async def titles(self, *, title_ids: Sequence[TitleId]) -> list[Title]:
        wanted = set(title_ids)
        return [title for title in self._titles if title.title_id in wanted]

    async def genres(self) -> list[Genre]:
        return [*{genre.genre_id: genre for title in self._titles for genre in title.genres}.values()]

    async def add(self, plays: Mapping[TitleId, int], *, now: datetime) -> None:
        for title_id, count in plays.items():
            self._popularity[title_id] = self._popularity.get(title_id, 0.0) + count

    async def load(self, *, now: datetime) -> dict[TitleId, float]:
        return self._popularity


class _NoRules:
    """A store without rules."""

    async def put(self, folded: str, rule: SearchRule, *, limit: int) -> bool:
        return False

    async def remove(self, folded: str, kind: RuleKind) -> bool:
        return False

    async def load(self) -> list[SearchRule]:
        return []


class _NoEvents:
    """A log without facts."""

    async def get_head(self) -> str:
        return ""

    async def read(self, *, after: str, **_options: object) -> Batch:
        return Batch(entries=[], cursor=after)
