"""The search page: what the profile may see of what is found, and what is left where the index does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.unit.gateway_rig import DRAMA, Deployment, Viewer, run_gateway

from matinee.catalogue.api import Genre
from matinee.gateway.model.prefix import find_prefix
from matinee.gateway.service.search_screen import MAX_QUERY_LENGTH, shorten_query
from matinee.kit.ids import PersonId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Unreachable
from matinee.search.api import (
    GenreHit,
    IndexNotReady,
    PersonHit,
    QueryCounts,
    QueryReport,
    SearchCounts,
    SearchResult,
    TitleHit,
)


class FakeSearch:
    """Returns a result and keeps the queries; it can fail or hang instead."""

    def __init__(self) -> None:
        self.result = SearchResult()
        self.queries: list[dict[str, Any]] = []
        self.trending: list[TitleId] = []
        self.initials: list[str] = []
        self.page = Page[TitleId](items=[])
        self.recorded: list[dict[str, Any]] = []
        self.fails = False
        self.hangs = False

    async def find(self, **query: Any) -> SearchResult:
        self.queries.append(query)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise Unreachable(service="search")
        return self.result

    async def list_trending(self, **viewer: Any) -> list[TitleId]:
        if self.fails:
            raise Unreachable(service="search")
        return self.trending

    async def list_initials(self, **viewer: Any) -> list[str]:
        if self.fails:
            raise Unreachable(service="search")
        return self.initials

    async def browse(self, **query: Any) -> Page[TitleId]:
        self.queries.append(query)
        if self.fails:
            raise IndexNotReady
        return self.page

    async def record_search(self, **recorded: Any) -> None:
        self.recorded.append(recorded)

    async def report_queries(self, *, days: int = 7, limit: int = 50) -> QueryReport:
        counts = SearchCounts(searches=limit, unanswered=1)
        return QueryReport(days=days, total=counts, unanswered=[QueryCounts(query="Dnue", counts=counts)])


@pytest.fixture
def search() -> FakeSearch:
    return FakeSearch()


@pytest.fixture
async def gateway(tmp_path: Path, search: FakeSearch) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path, replaced={"search": search}) as running:
        yield running


async def find(viewer: Viewer, query: str) -> dict[str, Any]:
    answer = await viewer.call("GET", f"/search?q={quote(query)}")
    assert answer.status == 200, answer.body
    screen: dict[str, Any] = answer.json
    return screen


def list_names(screen: dict[str, Any]) -> list[str]:
    return [found["card"]["name"] for found in screen["titles"]]


def hit(title_id: TitleId, name: str = "Name", **fields: Any) -> TitleHit:
    return TitleHit(**{"title_id": title_id, "name": name, "match": "prefix", "score": 1.0, **fields})


async def test_what_is_found_is_shown_with_its_cards(gateway: Deployment, search: FakeSearch) -> None:
    viewer = await gateway.viewer()
    film = await gateway.add_film("Salt", names={"en": "Salt", "ja": "🧂塩"})
    series, episodes = await gateway.add_series("Nights")
    search.result = SearchResult(
        titles=[
            hit(film, "🧂塩", highlights=[(1, 2)], match="exact"),
            hit(series, "Nights", episode_id=episodes[1], match="words"),
        ],
        people=[PersonHit(person_id=PersonId("per_1"), name="Ada", match="prefix", score=1, titles=3)],
        genres=[GenreHit(genre_id="drama", name="Drama", match="exact", score=1, highlights=[(0, 5)])],
        correction="塩",
    )
    screen = await find(viewer, "  塩 ")
    (query,) = search.queries
    assert (query["query"], query["language"], query["maturity"], query["territory"]) == ("塩", "en", 18, "ZZ")
    assert list_names(screen) == ["Salt", "Nights"]
    first, second = screen["titles"]
    assert (first["name"], first["highlights"], first["match"]) == ("🧂塩", [{"start": 1, "end": 2}], "exact")
    assert (first["episode_id"], first["season_number"]) == (None, None)
    assert (second["episode_id"], second["season_number"], second["episode_number"]) == (episodes[1], 1, 2)
    assert screen["people"] == [{"person_id": "per_1", "name": "Ada", "highlights": [], "titles": 3}]
    assert screen["genres"] == [{"genre_id": "drama", "name": "Drama", "highlights": [{"start": 0, "end": 5}]}]
    assert (screen["query"], screen["correction"], screen["partial"]) == ("塩", "塩", False)


async def test_name_of_the_card_is_shown_where_it_begins_as_the_one_that_was_found(
    gateway: Deployment, search: FakeSearch
) -> None:
    viewer = await gateway.viewer()
    film = await gateway.add_film("Salt Path", names={"en": "Salt Path", "de": "Salt und mehr"})
    search.result = SearchResult(titles=[hit(film, "Salt und mehr", highlights=[(0, 4)])])
    for query, name in (("salt", "Salt Path"), ("salt und", "Salt und mehr")):
        (found,) = (await find(viewer, query))["titles"]
        assert (found["name"], found["highlights"]) == (name, [{"start": 0, "end": 4}])


async def test_child_does_not_get_what_is_not_for_children(gateway: Deployment, search: FakeSearch) -> None:
    viewer = await gateway.viewer()
    mild = await gateway.add_film("Mild", maturity=6)
    mature = await gateway.add_film("Mature", maturity=16)
    withdrawn = await gateway.add_film("Withdrawn")
    await gateway.domains["catalogue"].withdraw(title_id=withdrawn)
    child = await viewer.call("POST", "/profiles", {"name": "Kim", "maturity": 7, "kids": True, "language": "de"})
    await viewer.choose(child.json["profile_id"])
    # An index that does not know about the age, or is not up to date.
    search.result = SearchResult(titles=[hit(mature), hit(withdrawn), hit(mild), hit(TitleId("tit_unknown"))])
    assert list_names(await find(viewer, "m")) == ["Mild"]
    assert (search.queries[0]["maturity"], search.queries[0]["language"]) == (7, "de")
    assert list_names(await find(viewer, "")) == ["Mild"]
    search.fails = True
    assert list_names(await find(viewer, "m")) == ["Mild"]


async def test_without_a_query_there_are_the_newest_titles_and_the_genres(
    gateway: Deployment, search: FakeSearch
) -> None:
    viewer = await gateway.viewer()
    await gateway.add_film("First", genres=[DRAMA])
    await gateway.add_film("Second", genres=[])
    answer = await viewer.call("GET", "/search")
    screen = await find(viewer, " \n ")
    assert answer.json == screen
    assert (list_names(screen), [genre["name"] for genre in screen["genres"]]) == (["Second", "First"], ["Drama"])
    assert [found["match"] for found in screen["titles"]] == [None, None]
    assert (screen["query"], screen["partial"], search.queries) == ("", False, [])


@pytest.mark.parametrize("hangs", [False, True])
async def test_index_that_does_not_answer_leaves_a_search_by_prefix(tmp_path: Path, hangs: bool) -> None:
    search = FakeSearch()
    search.fails, search.hangs = not hangs, hangs
    async with run_gateway(tmp_path, replaced={"search": search}, screen_deadline_ms=4_000) as gateway:
        viewer = await gateway.viewer()
        science = Genre(genre_id="science", names={"en": "Wild Science"})
        await gateway.add_film("The Wild Sea", names={"en": "The Wild Sea", "de": "Die Wilde See"}, genres=[science])
        await gateway.add_film("Salt", names={"en": "Salt", "de": "Wilde Würze"})
        await gateway.add_film("Rewild")
        screen = await find(viewer, "wild")
        assert screen["partial"] is True
        assert sorted(list_names(screen)) == ["Salt", "The Wild Sea"]
        sea = next(found for found in screen["titles"] if found["card"]["name"] == "The Wild Sea")
        assert (sea["name"], sea["highlights"], sea["match"]) == ("The Wild Sea", [{"start": 4, "end": 8}], "prefix")
        assert [(genre["name"], genre["highlights"]) for genre in screen["genres"]] == [
            ("Wild Science", [{"start": 0, "end": 4}])
        ]


async def test_partial_answer_of_the_index_stays_one(gateway: Deployment, search: FakeSearch) -> None:
    viewer = await gateway.viewer()
    film = await gateway.add_film("Film")
    search.result = SearchResult(titles=[hit(film)], partial=True)
    screen = await find(viewer, "f")
    assert (list_names(screen), screen["partial"]) == (["Film"], True)


async def test_catalogue_that_does_not_answer_leaves_people_and_genres(tmp_path: Path) -> None:
    class FailingCatalogue:
        def __getattr__(self, name: str) -> Any:
            async def fail(**_: Any) -> Any:
                raise Unreachable(service="catalogue")

            return fail

    search = FakeSearch()
    search.result = SearchResult(
        titles=[hit(TitleId("tit_1"))],
        people=[PersonHit(person_id=PersonId("per_1"), name="Ada", match="exact", score=1)],
    )
    async with run_gateway(tmp_path, replaced={"search": search, "catalogue": FailingCatalogue()}) as gateway:
        viewer = await gateway.viewer()
        screen = await find(viewer, "ada")
        assert (screen["titles"], len(screen["people"]), screen["partial"]) == ([], 1, True)
        for query, fails in (("", False), ("ada", True)):
            search.fails = fails
            screen = await find(viewer, query)
            assert (screen["titles"], screen["genres"], screen["partial"]) == ([], [], True)


@pytest.mark.parametrize(
    "query", ["x" * 10_000, "\0", "\u202e" * 300, "e\u0301\u0302" * 400, "a%b_c'\"\\", "🎬" * 250, "\ufeff", "..."]
)
@pytest.mark.parametrize("fails", [False, True])
async def test_hostile_queries_are_answered(gateway: Deployment, search: FakeSearch, query: str, fails: bool) -> None:
    viewer = await gateway.viewer()
    await gateway.add_film("Film")
    search.fails = fails
    screen = await find(viewer, query)
    assert len(screen["query"]) <= MAX_QUERY_LENGTH
    assert all(len(asked["query"]) <= MAX_QUERY_LENGTH for asked in search.queries)


async def test_search_needs_a_profile(gateway: Deployment) -> None:
    viewer = await gateway.viewer(profile=False)
    assert (await viewer.call("GET", "/search?q=x")).status == 403


def test_long_query_is_cut() -> None:
    assert shorten_query(" a b ") == "a b"
    assert shorten_query("a" * 199 + " b") == "a" * 199
    assert shorten_query("🎬" * 300) == "🎬" * 200


@pytest.mark.parametrize(
    ("name", "query", "span"),
    [
        ("The Wild Sea", "wild s", (4, 10)),
        ("The Wild Sea", "sea", (9, 12)),
        ("Amélie", "amel", (0, 4)),
        ("Ame\u0301lie", "amel", (0, 5)),
        ("Straße", "strass", (0, 5)),
        ("🎬 Salt", "SA", (2, 4)),
        ("Rewild", "wild", None),
        ("Salt", "", None),
        ("Salt", "\u0301", None),
        ("Salt", "salty", None),
        ("", "s", None),
    ],
)
def test_prefix_of_a_word_is_found(name: str, query: str, span: tuple[int, int] | None) -> None:
    assert find_prefix(name, query) == span


async def test_trending_titles_are_shown_without_a_query_and_where_nothing_is_found(
    gateway: Deployment, search: FakeSearch
) -> None:
    viewer = await gateway.viewer()
    mild = await gateway.add_film("Mild", maturity=6)
    mature = await gateway.add_film("Mature", maturity=16)
    search.trending = [mature, TitleId("tit_unknown"), mild]

    async def list_trending(query: str) -> list[str]:
        return [card["name"] for card in (await find(viewer, query))["trending"]]

    assert (await list_trending(""), await list_trending("nope")) == (["Mature", "Mild"], ["Mature", "Mild"])
    search.result = SearchResult(titles=[hit(mild)])
    assert await list_trending("m") == []
    search.result = SearchResult()
    child = await viewer.call("POST", "/profiles", {"name": "Kim", "maturity": 7, "kids": True})
    await viewer.choose(child.json["profile_id"])
    assert (await list_trending(""), await list_trending("nope")) == (["Mild"], ["Mild"])
    search.fails = True
    screen = await find(viewer, "")
    assert (screen["trending"], screen["partial"], list_names(screen)) == ([], False, ["Mild"])


REPORT = {"report_id": "r" * 16, "query": "Dune", "titles": 3, "title_ids": ["tit_1"]}


async def test_report_of_a_search_is_recorded_that_of_a_child_without_its_id(
    gateway: Deployment, search: FakeSearch
) -> None:
    viewer = await gateway.viewer()
    opened = {"kind": "title", "id": "tit_1", "position": 1}
    answer = await viewer.call("POST", "/search/reports", {**REPORT, "opened": opened})
    assert answer.status == 204
    child = await viewer.call("POST", "/profiles", {"name": "Kim", "maturity": 7, "kids": True, "language": "de"})
    adult_id = viewer.profile_id
    await viewer.choose(child.json["profile_id"])
    assert (await viewer.call("POST", "/search/reports", REPORT)).status == 204
    ours, theirs = search.recorded
    assert (ours["profile_id"], ours["language"]) == (adult_id, "en")
    assert (ours["search"].query, ours["search"].opened.id) == ("Dune", "tit_1")
    assert (theirs["profile_id"], theirs["language"], theirs["search"].opened) == (None, "de", None)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": "q" * 201}, "query"),
        ({"report_id": "short"}, "report_id"),
        ({"titles": -1}, "titles"),
        ({"title_ids": ["tit_1"] * 11}, "title_ids"),
        ({"opened": {"kind": "film", "id": "tit_1", "position": 1}}, "opened.kind"),
        ({"opened": {"kind": "title", "id": "tit_1", "position": 0}}, "opened.position"),
    ],
)
async def test_wrong_report_is_refused(
    gateway: Deployment, search: FakeSearch, wrong: dict[str, Any], field: str
) -> None:
    viewer = await gateway.viewer()
    answer = await viewer.call("POST", "/search/reports", {**REPORT, **wrong})
    assert (answer.status, answer.json["type"], answer.headers["Content-Type"]) == (
        422,
        "/problems/invalid",
        "application/problem+json",
    )
    assert answer.json["faults"][0]["field"] == field
    assert search.recorded == []


async def test_report_of_queries_is_for_operators(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    assert (await viewer.call("GET", "/operator/searches")).status == 403
    operator = await gateway.viewer(operator=True)
    answer = await operator.call("GET", "/operator/searches?days=30&limit=9")
    assert (answer.json["days"], answer.json["total"]["searches"]) == (30, 9)
    assert answer.json["unanswered"][0]["query"] == "Dnue"
    assert (await operator.call("GET", "/operator/searches?days=x")).status == 422


async def test_titles_of_an_initial_that_the_profile_may_see(gateway: Deployment, search: FakeSearch) -> None:
    viewer = await gateway.viewer()
    salt, sea = await gateway.add_film("Salt", maturity=6), await gateway.add_film("The Sea", maturity=6)
    search.page = Page(items=[salt, await gateway.add_film("Saw", maturity=18), sea], next_cursor="after")
    search.initials = ["S", "T", "#"]
    child = await viewer.call("POST", "/profiles", {"name": "Kim", "maturity": 7, "kids": True, "language": "de"})
    await viewer.choose(child.json["profile_id"])
    answer = await viewer.call("GET", "/browse?initial=S&cursor=before")
    assert answer.status == 200, answer.body
    assert [card["name"] for card in answer.json["cards"]] == ["Salt", "The Sea"]
    assert (answer.json["initial"], answer.json["initials"]) == ("S", ["S", "T", "#"])
    assert answer.json["next_cursor"] == "after"
    (query,) = search.queries
    assert (query["initial"], query["cursor"], query["language"], query["maturity"]) == ("S", "before", "de", 7)
    assert (await find(viewer, ""))["initials"] == ["S", "T", "#"]


async def test_without_the_index_there_are_no_initials_and_browsing_is_refused(
    gateway: Deployment, search: FakeSearch
) -> None:
    viewer = await gateway.viewer()
    search.fails, search.initials = True, ["S"]
    assert (await find(viewer, ""))["initials"] == []
    answer = await viewer.call("GET", "/browse?initial=S")
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (503, "index-not-ready")
    assert (await viewer.call("GET", "/browse")).status in {400, 422}
