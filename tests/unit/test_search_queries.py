"""What viewers search for: recorded, counted and reported."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.search_rig import STRANGER, STRAYS, Rig, make_title

from matinee.drivers.engine import EngineUnavailable
from matinee.events.api import FactRecord, SearchEnded, new_record
from matinee.kit import ids
from matinee.kit.context import Context, activate
from matinee.kit.ids import ProfileId, TitleId
from matinee.kit.problem import Invalid
from matinee.search.adapters.tantivy import TantivyIndex
from matinee.search.api import EndedSearch, OpenedResult, QueryCounts, QueryReport, SearchCounts
from matinee.search.model.queries import count, count_queries, rank_opened, to_key
from matinee.search.service import Recorder, Trending

TODAY = date(2026, 3, 1)
ADA, BOB, KIM = (ids.derive(ProfileId, name) for name in ("ada", "bob", "kim"))


class FakeEvents:
    """Keeps what is appended."""

    def __init__(self) -> None:
        self.records: list[FactRecord] = []

    async def append(self, *, records: list[FactRecord]) -> None:
        self.records += records


class FakeLog:
    """A log in memory, which counts how often it is read."""

    def __init__(self) -> None:
        self.queries: list[tuple[date, dict[str, QueryCounts]]] = []
        self.opened: list[tuple[date, TitleId, int]] = []
        self.reads = 0
        self.fails = False
        self.removed_before: date | None = None

    async def add(self, *, day: date, queries: dict[str, QueryCounts], opened: dict[TitleId, int], limit: int) -> None:
        self.queries.append((day, queries))
        self.opened += [(day, title_id, number) for title_id, number in opened.items()]

    async def report(self, *, days: int, today: date, limit: int) -> QueryReport:
        return QueryReport(days=days, total=SearchCounts())

    async def list_opened(self, *, since: date, limit: int) -> list[tuple[date, TitleId, int]]:
        self.reads += 1
        if self.fails:
            raise EngineUnavailable(engine="sqlite")
        return [entry for entry in self.opened if entry[0] >= since]

    async def remove_before(self, day: date) -> None:
        self.removed_before = day


class Recording:
    """A recorder and what is trending, over an index of titles."""

    def __init__(self, folder: Path, *titles: Any) -> None:
        self.rig = Rig(folder, *titles)
        self.clock, self.events, self.log = self.rig.clock, FakeEvents(), FakeLog()
        common: dict[str, Any] = {"log": self.log, "index": TantivyIndex(folder), "clock": self.clock}
        self.recorder = Recorder(events=cast(Any, self.events), **common)
        self.trending = Trending(**common)

    async def handle(self, *facts: SearchEnded) -> None:
        await self.recorder.handle([new_record(fact, key="k", now=self.clock.now()) for fact in facts])

    async def list_trending(self, **viewer: Any) -> list[TitleId]:
        return await self.trending.list_titles(**{"territory": "DE", "maturity": 18, "limit": 10, **viewer})


def end(query: str = "stra", **fields: Any) -> SearchEnded:
    return SearchEnded(query=query, language="en", **fields)


def open_title(title_id: str, profile_id: ProfileId | None = None) -> SearchEnded:
    return end(profile_id=profile_id, titles=1, opened_kind="title", opened_id=title_id, opened_position=1)


@pytest.mark.parametrize(
    ("fact", "unanswered", "abandoned", "corrected"),
    [
        (end(), 1, 0, 0),
        (end(people=1), 0, 1, 0),
        (end(titles=3, corrected=True), 0, 1, 1),
        (end(titles=3, opened_kind="title", opened_id="tit_1"), 0, 0, 0),
        (end(partial=True), 0, 0, 0),
        (end(partial=True, titles=3), 0, 0, 0),
    ],
)
def test_what_a_search_counts_as(fact: SearchEnded, unanswered: int, abandoned: int, corrected: int) -> None:
    assert count(fact) == SearchCounts(searches=1, unanswered=unanswered, abandoned=abandoned, corrected=corrected)


def test_spellings_of_a_query_count_together() -> None:
    counted = count_queries([end("WALL·E"), end("wall-e"), end("Walle"), end(" walle  ")])
    assert {key: each.counts.searches for key, each in counted.items()} == {"walle": 3, "wall e": 1}
    assert counted["walle"].query == "WALL·E"
    assert (to_key("!!!"), to_key("🧂 "), len(to_key("각" * 200))) == ("!!!", "🧂", 200)


def test_recent_openings_weigh_more_and_single_ones_not_at_all() -> None:
    a, b, c = (TitleId(f"tit_{name}") for name in "abc")
    opened = [(TODAY, a, 3), (TODAY - timedelta(days=6), b, 8), (TODAY, c, 2), (TODAY + timedelta(days=1), a, 1)]
    assert rank_opened(opened, TODAY) == [a, b]
    assert rank_opened([], TODAY) == []


async def test_search_is_recorded_once_however_often_it_is_reported(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    opened = OpenedResult(kind="title", id="tit_1", position=2)
    search = EndedSearch(report_id="r" * 16, query="Dune", titles=3, title_ids=[TitleId("tit_1")], opened=opened)
    for profile_id in (ADA, ADA, BOB, None):
        await recording.recorder.record(search, language="de", profile_id=profile_id)
    first, repeated, other, child = recording.events.records
    assert first.fact == SearchEnded(
        query="Dune",
        language="de",
        profile_id=ADA,
        titles=3,
        title_ids=(TitleId("tit_1"),),
        opened_kind="title",
        opened_id="tit_1",
        opened_position=2,
    )
    assert first.fact_id == repeated.fact_id
    assert len({record.fact_id for record in recording.events.records}) == 3
    assert (first.key, other.key, child.key) == (ADA, BOB, "r" * 16)


async def test_a_search_without_a_profile_has_no_trace(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    with activate(Context(trace_id="0" * 31 + "1")):
        for report_id, profile_id in (("r1", ADA), ("r2", None)):
            search = EndedSearch(report_id=report_id, query="dark")
            await recording.recorder.record(search, language="de", profile_id=profile_id)
    assert [record.trace_id for record in recording.events.records] == ["0" * 31 + "1", ""]


async def test_openings_count_by_day_for_titles_of_the_index(tmp_path: Path) -> None:
    recording = Recording(tmp_path, STRANGER, STRAYS)
    day = recording.clock.now().date()
    await recording.handle(open_title(STRANGER.title_id))
    assert recording.log.opened == []  # there is no index, in which it could have been found
    await recording.rig.indexer.rebuild()
    await recording.handle(
        open_title(STRANGER.title_id, ADA),
        open_title(STRANGER.title_id, ADA),
        open_title(STRANGER.title_id, BOB),
        open_title("tit_unknown", ADA),
        open_title(STRAYS.title_id, ADA),
        end(profile_id=ADA, people=1, opened_kind="person", opened_id="per_1"),
    )
    # That of a child, which has no profile, counts for nothing.
    await recording.handle(open_title(STRAYS.title_id, ADA), open_title(STRAYS.title_id), open_title(STRAYS.title_id))
    ours = [(day, STRANGER.title_id, 2), (day, STRAYS.title_id, 1)]
    assert recording.log.opened == ours
    recording.clock.advance(seconds=86_400)
    await recording.handle(open_title(STRANGER.title_id, ADA))
    assert recording.log.opened == [*ours, (day + timedelta(days=1), STRANGER.title_id, 1)]


async def test_trending_is_what_the_viewer_may_find_and_is_read_once_a_minute(tmp_path: Path) -> None:
    other = make_title("Elsewhere", maturity=0)
    recording = Recording(tmp_path, STRANGER, STRAYS, other)
    today = recording.clock.now().date()
    recording.log.opened = [(today, STRAYS.title_id, 9), (today, STRANGER.title_id, 5), (today, other.title_id, 1)]
    assert await recording.list_trending() == []  # there is no index yet
    await recording.rig.indexer.rebuild()
    recording.clock.advance(seconds=61)
    assert await recording.list_trending() == [STRAYS.title_id, STRANGER.title_id]
    assert await recording.list_trending(limit=1) == [STRAYS.title_id]
    assert await recording.list_trending(maturity=17) == [STRANGER.title_id]
    assert recording.log.reads == 2
    recording.log.opened.append((today, other.title_id, 99))
    recording.clock.advance(seconds=61)
    assert (await recording.list_trending())[0] == other.title_id


async def test_bounds_of_the_report_and_what_is_kept(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    assert (await recording.recorder.report(days=30, limit=1)).days == 30
    with pytest.raises(Invalid) as refused:
        await recording.recorder.report(days=31, limit=0)
    assert [fault.field for fault in refused.value.faults] == ["days", "limit"]
    await recording.recorder.remove_old()
    assert recording.log.removed_before == recording.clock.now().date() - timedelta(days=29)


async def test_trending_stays_where_it_cannot_be_read_again(tmp_path: Path) -> None:
    recording = Recording(tmp_path, STRANGER)
    await recording.rig.indexer.rebuild()
    recording.log.opened = [(recording.clock.now().date(), STRANGER.title_id, 5)]
    assert await recording.list_trending() == [STRANGER.title_id]
    recording.clock.advance(seconds=61)
    recording.log.fails = True
    with pytest.raises(EngineUnavailable):
        await recording.list_trending()
    assert await recording.list_trending() == [STRANGER.title_id]
