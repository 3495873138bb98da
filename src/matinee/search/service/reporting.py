"""The service of search: finding, browsing, the rules of editors, and what viewers search for."""

from __future__ import annotations

from matinee.kit.clock import Clock
from matinee.kit.ids import ProfileId, TitleId
from matinee.kit.page import Page
from matinee.search.api import EndedSearch, QueryReport, RuleKind, SearchRule
from matinee.search.ports import TextIndex
from matinee.search.service.affinities import Affinities
from matinee.search.service.browsing import Browser
from matinee.search.service.editing import Editor
from matinee.search.service.finding import SearchService
from matinee.search.service.indexing import Indexer
from matinee.search.service.recording import Recorder
from matinee.search.service.trending import Trending


class ReportingSearchService(SearchService):
    """Implements `Search`."""

    def __init__(
        self,
        *,
        index: TextIndex,
        indexer: Indexer,
        affinities: Affinities,
        editor: Editor,
        clock: Clock,
        recorder: Recorder,
        trending: Trending,
        browser: Browser,
    ) -> None:
        super().__init__(index=index, indexer=indexer, affinities=affinities, editor=editor, clock=clock)
        self._recorder = recorder
        self._trending = trending
        self._browser = browser

    async def put_rule(self, *, rule: SearchRule) -> None:
        await self._editor.put(rule)

    async def remove_rule(self, *, kind: RuleKind, query: str) -> bool:
        return await self._editor.remove(kind, query)

    async def list_rules(self) -> list[SearchRule]:
        return await self._editor.list_rules()

    async def record_search(self, *, search: EndedSearch, language: str, profile_id: ProfileId | None = None) -> None:
        await self._recorder.record(search, language=language, profile_id=profile_id)

    async def report_queries(self, *, days: int = 7, limit: int = 50) -> QueryReport:
        return await self._recorder.report(days=days, limit=limit)

    async def list_trending(self, *, territory: str, maturity: int = 18, limit: int = 10) -> list[TitleId]:
        return await self._trending.list_titles(territory=territory, maturity=maturity, limit=limit)

    async def list_initials(self, *, language: str = "en", territory: str, maturity: int = 18) -> list[str]:
        return await self._browser.list_initials(language=language, territory=territory, maturity=maturity)

    async def browse(
        self,
        *,
        initial: str,
        language: str = "en",
        territory: str,
        maturity: int = 18,
        cursor: str | None = None,
        limit: int = 40,
    ) -> Page[TitleId]:
        return await self._browser.browse(
            initial=initial, language=language, territory=territory, maturity=maturity, cursor=cursor, limit=limit
        )
