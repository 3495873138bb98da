"""The service of search on a real index: what is found, and how the index follows the catalogue."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from tests.deployment import eventually
from tests.unit.search_rig import ANA, GERMAN, HIDDEN, STRANGER, STRAYS, FakeCatalogue, Rig, make_title

from matinee.catalogue.api import Credit, Episode, Genre, Person, RightsWindow
from matinee.events.api import (
    ProfileRemoved,
    TitleChanged,
    TitlePublished,
    TitleWithdrawn,
)
from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import AccountId, EpisodeId, PersonId, ProfileId, TitleId
from matinee.kit.problem import Invalid, Unreachable
from matinee.search import jobs
from matinee.search.api import IndexNotReady, SearchResult


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "search", STRANGER, STRAYS, GERMAN, HIDDEN)
    await rig.indexer.rebuild()
    return rig


async def test_viewers_find_what_they_may(rig: Rig) -> None:
    assert set(await rig.find_names("str")) == {"Stranger Things", "Strays"}
    assert await rig.find_names("str", maturity=12) == ["Stranger Things"]
    assert set(await rig.find_names("str", maturity=12, territory="FR")) == {"Stranger Things", "Strand"}
    assert await rig.find_names("str", limit=1) == (await rig.find_names("str"))[:1]


async def test_an_error_is_corrected_and_reported(rig: Rig) -> None:
    result = await rig.find("stanger thigns")
    assert [(hit.name, hit.match) for hit in result.titles] == [("Stranger Things", "corrected")]
    assert result.correction == "Stranger Things"
    assert (await rig.find("stranger")).correction is None


async def test_another_keyboard_layout_is_read(rig: Rig) -> None:
    result = await rig.find("ыекфтпук")
    assert ([hit.name for hit in result.titles], result.correction) == (["Stranger Things"], "stranger")


async def test_people_genres_and_their_titles(rig: Rig) -> None:
    result = await rig.find("ana tor")
    assert [(hit.name, hit.titles) for hit in result.people] == [("Ana Torres", 1)]
    assert [(hit.name, hit.match) for hit in result.titles] == [("Stranger Things", "about")]
    assert [hit.name for hit in (await rig.find("krimi", language="de")).genres] == ["Krimi"]
    assert await rig.find_names("torres krimi 2016") == ["Stranger Things"]


async def test_an_episode_is_named(tmp_path: Path) -> None:
    episode = Episode(episode_id=ids.derive(EpisodeId, "23"), season_number=2, number=3, names={"en": "Ghosts"})
    rig = Rig(tmp_path, make_title("Dark", episodes=[episode]), make_title("Dark Matter"))
    await rig.indexer.rebuild()
    for query in ("dark s2e3", "dark 2x03", "ghosts"):
        hit = (await rig.find(query)).titles[0]
        assert (hit.title_id, hit.episode_id) == (ids.derive(TitleId, "Dark"), episode.episode_id)
    assert (await rig.find("dark s9e9")).titles[0].episode_id is None


@pytest.mark.parametrize("query", ["", "  ", "\0", "!!!", "s1e1"])
async def test_a_query_without_words_finds_nothing(rig: Rig, query: str) -> None:
    assert await rig.find(query) == SearchResult()


async def test_a_limit_must_be_possible(rig: Rig) -> None:
    for limit in (0, 101):
        with pytest.raises(Invalid):
            await rig.find("str", limit=limit)


async def test_a_misspelled_person_brings_the_titles(rig: Rig) -> None:
    result = await rig.find("ana tores")
    assert [hit.name for hit in result.people] == ["Ana Torres"]
    assert ([hit.name for hit in result.titles], result.correction) == (["Stranger Things"], "Ana Torres")


async def test_an_explanation_has_the_parts_of_each_score(rig: Rig) -> None:
    explanation = await rig.search.explain(query="Stranger", territory="DE")
    first = explanation.reasons[0]
    assert (explanation.forms, first.name, first.match) == (["stranger"], "Stranger Things", "prefix")
    assert first.score == pytest.approx(sum(first.parts.values()))


async def test_a_genre_or_person_is_found_by_those_who_find_a_title(tmp_path: Path) -> None:
    gore = Genre(genre_id="gore", names={"en": "Splatter Gore"})
    cast = [Credit(person=ANA, role="cast")]
    adult = make_title("Adult", maturity=18, genres=[gore], credits=cast)
    elsewhere = make_title("Elsewhere", rights=[RightsWindow(territory="FR")], genres=[], credits=cast)
    rig = Rig(tmp_path, adult, elsewhere)
    await rig.indexer.rebuild()

    async def find(query: str, **viewer: Any) -> tuple[list[str], list[int], str | None]:
        result = await rig.find(query, **viewer)
        return [hit.name for hit in result.genres], [hit.titles for hit in result.people], result.correction

    assert await find("splatter gore") == (["Splatter Gore"], [], None)
    assert await find("splatter gore", maturity=12) == ([], [], None)
    assert await find("splater gore", maturity=12) == ([], [], None)
    assert await find("ana torres") == ([], [1], None)
    assert await find("ana torres", territory="FR") == ([], [2], None)
    assert await find("ana torres", territory="FR", maturity=12) == ([], [1], None)
    assert await find("ana torres", maturity=12) == ([], [], None)
    rig.catalogue.stored[adult.title_id] = replace(adult, genres=[])
    await rig.handle(TitleChanged(title_id=adult.title_id))
    assert await find("splatter gore") == ([], [], None)


async def test_a_person_is_found_while_a_rights_window_is_open(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    window = RightsWindow(closes_at=rig.clock.now() + timedelta(seconds=9))
    rig.catalogue = FakeCatalogue(make_title("Soon", rights=[window], credits=[Credit(person=ANA, role="cast")]))
    rig = Rig(tmp_path, *rig.catalogue.stored.values())
    await rig.indexer.rebuild()
    assert len((await rig.find("ana torres")).people) == 1
    rig.clock.advance(seconds=10)
    assert await rig.find("ana torres") == SearchResult()


async def test_a_title_with_many_names_hides_no_others(tmp_path: Path) -> None:
    episodes = [
        Episode(episode_id=ids.derive(EpisodeId, str(n)), season_number=1, number=n, names={"en": f"Love {n}"})
        for n in range(1, 90)
    ]
    soap = make_title("Daily Soap", episodes=episodes)
    others = [make_title(name) for name in ("Love Actually", "Love Story", "Lovely Bones", "Loving")]
    people = [Person(person_id=ids.derive(PersonId, str(n)), names={"en": f"Lovis {n}"}) for n in range(30)]
    cast = make_title("Cast", credits=[Credit(person=person, role="cast") for person in people])
    rig = Rig(tmp_path, soap, *others, cast)
    await rig.indexer.rebuild()
    await rig.handle(*(rig.play(soap) for _ in range(9)))
    await rig.indexer.rebuild()
    for query in ("lov", "love"):
        found = await rig.find(query)
        assert {"Love Actually", "Love Story", "Lovely Bones"} <= {hit.name for hit in found.titles}
    assert len((await rig.find("lov")).people) == 8


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("the office", "Office"),
        ("eleven", "Ocean's Eleven"),
        ("matirx", "The Matrix"),
        ("dark season 2", "Dark"),
        ("dark s2e", "Dark"),
        ("神隠し", "千と千尋の神隠し"),
        ("sen to chihiro", "千と千尋の神隠し"),
        ("きみのなは", "君の名は。"),
        ("kimi no na wa", "君の名は。"),
        ("mueller", "Müller"),
        ("the matrix movie", "The Matrix"),
        ("watch matirx online", "The Matrix"),
        ("teh dark", "Dark"),
        ("unknown dark", "Dark"),
    ],
)
async def test_names_that_a_newcomer_missed(names: Rig, query: str, first: str) -> None:
    assert (await names.find_names(query))[:1] == [first]


@pytest.fixture
async def names(tmp_path: Path) -> Rig:
    japanese = [make_title(name, names={"ja": name}) for name in ("千と千尋の神隠し", "君の名は。")]
    russian = make_title("The Intouchables", names={"en": "The Intouchables", "ru": "1+1"})
    others = [
        "Office",
        "The Officer",
        "Ocean's Eleven",
        "The Matrix",
        "The Matrix Reloaded",
        "Dark",
        "Müller",
        "Twenty 2",
    ]
    rig = Rig(tmp_path, *japanese, russian, *(make_title(name) for name in others))
    await rig.indexer.rebuild()
    return rig


async def test_titles_that_are_closed_hide_no_others(tmp_path: Path) -> None:
    closed = [RightsWindow(closes_at=ManualClock().now() + timedelta(seconds=5))]
    old = [make_title(f"Star Old {n}", rights=closed) for n in range(120)]
    rig = Rig(tmp_path, *old, make_title("Star Wars"))
    await rig.indexer.rebuild()
    await rig.handle(*(rig.play(title) for title in old))
    await rig.indexer.rebuild()
    rig.clock.advance(seconds=9)
    for query in ("st", "star", "thriller"):
        found = await rig.find(query)
        assert [hit.name for hit in found.titles] == ["Star Wars"]
    assert [genre.name for genre in found.genres] == ["Thriller"]
    rig.clock.advance(seconds=9)
    assert await rig.find_names("star") == ["Star Wars"]
    await rig.indexer.rebuild()
    assert (await rig.search.get_status()).names < 10  # those that are closed for good are not in a new index


async def test_a_title_comes_before_episodes_of_its_name(tmp_path: Path) -> None:
    first = [
        Episode(episode_id=ids.derive(EpisodeId, str(n)), season_number=1, number=1, names={"en": "Pilot"})
        for n in range(80)
    ]
    series = [make_title(f"Series {n}", episodes=[episode]) for n, episode in enumerate(first)]
    rig = Rig(tmp_path, *series, make_title("Pilot"))
    await rig.indexer.rebuild()
    await rig.handle(*(rig.play(title) for title in series))
    await rig.indexer.rebuild()
    for query in ("pilot", "the pilot", "pil"):
        assert (await rig.find_names(query))[0] == "Pilot"
        assert (await rig.find(query)).titles[0].episode_id is None


@pytest.mark.parametrize("query", ["ww2", "w5", "wq"])
async def test_keys_without_a_letter_in_another_layout_were_meant(names: Rig, query: str) -> None:
    assert await names.find(query) == SearchResult()


async def test_an_explanation_is_of_what_is_found(names: Rig) -> None:
    explanation = await names.search.explain(query="dark s9e9", territory="DE")
    assert (explanation.forms, explanation.reasons[0].match) == (["dark"], "exact")


async def test_plays_decide_between_names_that_match_alike(rig: Rig) -> None:
    await rig.handle(*(rig.play(STRAYS) for _ in range(9)), rig.play(STRANGER))
    rig.clock.advance(minutes=2)
    await rig.find_names("str")  # reads them again
    assert await eventually(lambda: rig.indexer.popularity)
    assert await rig.find_names("str") == ["Strays", "Stranger Things"]


async def test_a_profile_counts_once_a_day_for_a_title(rig: Rig) -> None:
    ada, kim = (ids.derive(ProfileId, name) for name in ("Ada", "Kim"))
    for _ in range(3):
        await rig.handle(*(rig.play(STRAYS, ada) for _ in range(9)), rig.play(STRANGER, ada), rig.play(STRANGER, kim))
    assert rig.popularity.plays == {STRAYS.title_id: 1, STRANGER.title_id: 2}
    rig.clock.advance(days=1)
    await rig.handle(rig.play(STRAYS, ada))
    assert rig.popularity.plays[STRAYS.title_id] == 2


async def test_the_index_follows_the_catalogue(rig: Rig) -> None:
    new = make_title("Gravity", credits=[Credit(person=ANA, role="director")])
    rig.catalogue.stored[new.title_id] = new
    await rig.handle(TitlePublished(title_id=new.title_id))
    assert await rig.find_names("gravity") == ["Gravity"]
    assert (await rig.find("ana torres")).people[0].titles == 2

    rig.catalogue.stored[new.title_id] = replace(new, names={"en": "Levity"}, credits=[])
    await rig.handle(TitleChanged(title_id=new.title_id), TitleChanged(title_id=new.title_id))
    assert (await rig.find_names("gravity"), await rig.find_names("levity")) == ([], ["Levity"])
    assert (await rig.find("ana torres")).people[0].titles == 1

    rig.catalogue.stored[STRANGER.title_id] = replace(STRANGER, state="withdrawn")
    await rig.handle(TitleWithdrawn(title_id=STRANGER.title_id))
    assert await rig.find_names("stranger") == []
    assert (await rig.find("ana torres")).people == []


async def test_what_changes_while_an_index_is_built_is_not_lost(rig: Rig) -> None:
    def change() -> None:
        rig.catalogue.stored[STRANGER.title_id] = replace(STRANGER, names={"en": "Renamed"})
        rig.events.add(rig.clock, TitleChanged(title_id=STRANGER.title_id))

    rig.catalogue.on_page = change
    await rig.indexer.rebuild()
    assert (await rig.find_names("renamed"), await rig.find_names("stranger")) == (["Renamed"], [])


async def test_a_failed_rebuild_leaves_the_index_as_it_was(rig: Rig) -> None:
    def fail() -> None:
        raise Unreachable(service="catalogue")

    rig.catalogue.on_page = fail
    with pytest.raises(Unreachable):
        await rig.indexer.rebuild()
    assert await rig.find_names("stranger") == ["Stranger Things"]
    assert (await rig.search.get_status()).building is None


async def test_a_missing_index_is_built_and_a_new_one_when_that_is_requested(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "search", STRANGER)
    with pytest.raises(IndexNotReady):
        await rig.find("str")
    assert (await rig.search.get_status()).version == 0
    await rig.handle(TitleChanged(title_id=STRANGER.title_id))  # is not an error
    job = asyncio.create_task(jobs.build_index(rig.indexer))
    try:
        first = await eventually(lambda: read_creation(rig), limit_s=60)
        assert await rig.find_names("str") == ["Stranger Things"]
        rig.clock.advance(seconds=1)
        await rig.search.request_rebuild()
        await eventually(lambda: is_newer(rig, first), limit_s=60)
    finally:
        job.cancel()


async def read_creation(rig: Rig) -> datetime | None:
    return (await rig.search.get_status()).created_at


async def is_newer(rig: Rig, first: datetime) -> bool:
    return (await read_creation(rig)) != first


async def test_what_a_profile_watches_comes_first(tmp_path: Path) -> None:
    drama = Genre(genre_id="drama", names={"en": "Drama"})
    rig = Rig(tmp_path, make_title("Storm"), make_title("Stones", genres=[drama]), other := make_title("Other"))
    await rig.indexer.rebuild()
    ada, kim = ids.derive(ProfileId, "ada"), ids.derive(ProfileId, "kim")
    assert await rig.find_names("sto", profile_id=ada) == ["Storm", "Stones"]
    await rig.handle(*(rig.play(make_title("Stones"), ada) for _ in range(20)), rig.play(other, kim))
    rig.indexer.popularity = {}
    assert await rig.find_names("sto", profile_id=ada) == ["Stones", "Storm"]
    assert await rig.find_names("sto", profile_id=kim) == ["Storm", "Stones"]
    reasons = (await rig.search.explain(query="sto", territory="DE", profile_id=ada)).reasons
    assert reasons[0].parts["affinity"] > 0
    await rig.handle(ProfileRemoved(account_id=ids.derive(AccountId, "a"), profile_id=ada))
    assert await rig.find_names("sto", profile_id=ada) == ["Storm", "Stones"]


async def test_a_search_does_without_an_affinity_that_cannot_be_read(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        raise Unreachable(detail="the store is away")

    monkeypatch.setattr(rig.affinities, "_store", SimpleNamespace(load=fail))
    assert await rig.find_names("stranger", profile_id=ids.derive(ProfileId, "ada")) == ["Stranger Things"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("lvoe", "Love Story"),
        ("doctor no", "Dr. No"),
        ("dr. strange", "Doctor Strange"),
        ("rocky 14", "Rocky XIV"),
        ("kill bill part 2", "Kill Bill: Pt. 2"),
    ],
)
async def test_short_errors_and_abbreviations(tmp_path: Path, query: str, name: str) -> None:
    names = ("Love Story", "Dr. No", "Doctor Strange", "Rocky XIV", "Kill Bill: Pt. 2")
    rig = Rig(tmp_path, *map(make_title, names))
    await rig.indexer.rebuild()
    assert (await rig.find_names(query))[0] == name


async def test_a_film_is_found_by_an_error_before_a_more_popular_sequel(tmp_path: Path) -> None:
    sequel = make_title("The Matrix Reloaded")
    rig = Rig(tmp_path, make_title("The Matrix"), sequel)
    await rig.indexer.rebuild()
    await rig.handle(*(rig.play(sequel) for _ in range(100)), rig.play(make_title("The Matrix")))
    await rig.indexer.rebuild()
    assert await rig.find_names("matirx") == ["The Matrix", "The Matrix Reloaded"]


async def test_a_number_after_a_name_that_has_none(tmp_path: Path) -> None:
    reed = Person(person_id=ids.derive(PersonId, "reed"), names={"en": "Kristen Reed"})
    cast = make_title("Other", credits=[Credit(person=reed, role="cast")], synopses={"en": "A reed in the wind."})
    names = ("The Reed", "Reedy", "Rocky", "Rocky 2", "Ağına Düştü", "Yağına 6")
    rig = Rig(tmp_path, cast, *map(make_title, names))
    await rig.indexer.rebuild()
    found = await rig.find("reed 5")
    assert ([hit.name for hit in found.titles][:2], found.correction) == (["The Reed", "Reedy"], None)
    assert [hit.name for hit in (await rig.find("kristen reed 5")).people] == ["Kristen Reed"]
    assert (await rig.find_names("rocky 2"))[0] == "Rocky 2"
    assert (await rig.find_names("rocky 7"))[0] == "Rocky"
    # A name with the number is found by an error too.
    assert "Yağına 6" in await rig.find_names("ağına 6")


async def test_a_short_query_that_is_no_romaji_is_not_read_as_one_with_an_error(tmp_path: Path) -> None:
    people = [Person(person_id=ids.derive(PersonId, name), names={"ja": name}) for name in ("太田", "岡田")]
    cast = make_title("Other", credits=[Credit(person=person, role="cast") for person in people])
    rig = Rig(tmp_path, cast, make_title("Oktay"))
    await rig.indexer.rebuild()
    found = await rig.find("okta")
    assert ([hit.name for hit in found.titles], found.people) == (["Oktay"], [])
    assert [hit.name for hit in (await rig.find("ota")).people] == ["太田"]
    # A syllable too much may still be an error.
    assert "岡田" in [hit.name for hit in (await rig.find("okaada")).people]
