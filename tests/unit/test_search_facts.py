"""Titles are found by country, language, studio, franchise, mood and keyword."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.search_rig import Rig, make_title

from matinee.catalogue.api import Mood, RightsWindow, Title
from matinee.events.api import TitleChanged
from matinee.search.model.documents import build_title_documents
from matinee.search.model.origins import is_origin, list_country_words, list_language_words

MOODS = [Mood(mood_id="feel-good", names={"en": "Feel-good", "de": "Wohlfühlfilm"})]


def make_korean(name: str, **more: Any) -> Title:
    fields = {"names": {"ko": name, "en": name}, "countries": ["KR"], **more}
    return make_title(name, **fields)


PARASITE = make_korean("Parasite", year=2019, studios=["CJ Entertainment"], keywords=[{"en": "con artist"}])
TOTORO = make_title(
    "My Neighbor Totoro",
    countries=["JP"],
    studios=["Studio Ghibli"],
    moods=MOODS,
    genres=[],
    keywords=[{"en": "forest spirit", "de": "Waldgeist"}],
)
KIKI = make_title("Kiki", countries=["JP"], studios=["Studio Ghibli"], genres=[])
AVENGERS = make_title(
    "The Avengers", countries=["US"], studios=["Marvel Studios"], franchise={"en": "Marvel Cinematic Universe"}
)
HEAT = make_title("Heat", countries=["US"], year=1995, keywords=[{"en": "heist", "de": "Raubüberfall"}])
JEDI = make_title("Return of the Jedi", genres=[], franchise={"en": "Star Wars", "ja": "スター・ウォーズ"})
LATER = make_title("The Making of Star Wars", genres=[])


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "search", PARASITE, TOTORO, KIKI, AVENGERS, HEAT, JEDI, LATER)
    await rig.indexer.rebuild()
    return rig


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("korean thriller 2019", {"Parasite"}),
        ("koreanischer krimi", {"Parasite"}),
        ("thriller coréen", {"Parasite"}),
        ("корейский thriller", {"Parasite"}),
        ("한국", {"Parasite"}),
        ("韓国", {"Parasite"}),
        ("südkorea", {"Parasite"}),
        ("korean movies", {"Parasite"}),
        ("韓国映画", {"Parasite"}),
        ("韩国电影", {"Parasite"}),
        ("한국영화", {"Parasite"}),
        ("kore filmleri", {"Parasite"}),
        ("ghibli", {"My Neighbor Totoro", "Kiki"}),
        ("studio ghibli", {"My Neighbor Totoro", "Kiki"}),
        ("studioghibli", {"My Neighbor Totoro", "Kiki"}),
        ("japanisch wohlfühl", {"My Neighbor Totoro"}),
        ("marvel", {"The Avengers"}),
        ("amerikanischer krimi 1995", {"Heat"}),
        ("feel-good", {"My Neighbor Totoro"}),
        ("feelgood", {"My Neighbor Totoro"}),
        ("heist", {"Heat"}),
        ("raubüberfall", {"Heat"}),
        ("スターウォーズ", {"Return of the Jedi"}),
    ],
)
async def test_titles_are_found_by_facts(rig: Rig, query: str, names: set[str]) -> None:
    assert set(await rig.find_names(query)) == names


async def test_titles_of_a_franchise_come_before_names_that_contain_it(rig: Rig) -> None:
    assert await rig.find_names("star wars") == ["Return of the Jedi", "The Making of Star Wars"]


async def test_a_name_that_is_the_query_comes_before_the_titles_of_a_franchise(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "search", JEDI, make_title("Star Wars"))
    await rig.indexer.rebuild()
    assert await rig.find_names("star wars") == ["Star Wars", "Return of the Jedi"]


async def test_a_franchise_is_found_where_many_names_begin_alike(tmp_path: Path) -> None:
    titles = [make_title(f"Marvelous {number}") for number in range(60)]
    rig = Rig(tmp_path / "search", AVENGERS, *titles)
    await rig.indexer.rebuild()
    assert (await rig.find_names("marvel"))[0] == "The Avengers"


def test_a_group_is_named_without_generic_words() -> None:
    groups = build_title_documents(AVENGERS, 0.0)[-1].groups
    assert groups == ("marvelstudios", "marvel", "marvelcinematicuniverse")
    assert build_title_documents(make_title("A", studios=["The Studio"]), 0.0)[-1].groups == ("thestudio", "studio")


def test_words_of_countries_and_languages() -> None:
    korean = set(list_country_words("KR"))
    assert {
        "korean",
        "koreanischer",
        "koreanische",
        "coreenne",
        "coreana",
        "kore",
        "кореиская",
        "韓国",
        "韩国",
    } <= korean
    assert {"austrian", "osterreichischer", "autrichienne"} <= set(list_country_words("AT"))
    assert {"portuguese", "portugiesischen"} <= set(list_language_words("pt-BR"))
    assert list_country_words("ZZ") == list_country_words("XQ") == list_language_words("und") == ()


@pytest.mark.parametrize(
    ("query", "correction", "names"),
    [
        ("gibli", "Studio Ghibli", {"My Neighbor Totoro", "Kiki"}),
        ("studio gibli", "Studio Ghibli", {"My Neighbor Totoro", "Kiki"}),
        ("gibli movies", "Studio Ghibli", {"My Neighbor Totoro", "Kiki"}),
        ("marvle", "Marvel Studios", {"The Avengers"}),
        ("marvel cinematc univrse", "Marvel Cinematic Universe", {"The Avengers"}),
    ],
)
async def test_a_studio_or_franchise_is_corrected(rig: Rig, query: str, correction: str, names: set[str]) -> None:
    result = await rig.find(query)
    assert (result.correction, {hit.name for hit in result.titles}) == (correction, names)


async def test_a_name_that_is_nearer_is_not_hidden_by_a_studio(tmp_path: Path) -> None:
    rig = Rig(tmp_path, KIKI, make_title("Gibli"), make_title("Gibly"))
    await rig.indexer.rebuild()
    result = await rig.find("gibli")
    assert (result.titles[0].name, result.correction) == ("Gibli", None)
    found = await rig.find("giblo")
    assert ([hit.name for hit in found.titles][:2], found.correction) == (["Gibli", "Gibly"], "Gibli")


async def test_a_title_named_like_its_franchise_comes_before_its_sequels(tmp_path: Path) -> None:
    franchise = {"en": "The Matrix"}
    first, sequel = (make_title(name, franchise=franchise) for name in ("The Matrix", "Reloaded"))
    rig = Rig(tmp_path, first, sequel)
    await rig.indexer.rebuild()
    await rig.handle(*(rig.play(sequel) for _ in range(9)))
    await rig.indexer.rebuild()
    result = await rig.find("matirx")
    assert ([hit.name for hit in result.titles], result.correction) == (["The Matrix", "Reloaded"], "The Matrix")


async def test_a_query_is_corrected_to_a_studio_only_for_those_who_may_find_its_titles(tmp_path: Path) -> None:
    totoro = replace(TOTORO, rights=[RightsWindow(territory="FR")])
    rig = Rig(tmp_path, totoro, make_title("Gizli"), HEAT)
    await rig.indexer.rebuild()
    assert (await rig.find("gibli")).correction == "Gizli"
    assert (await rig.find("gibli", territory="FR")).titles[0].name in {"Gizli", "My Neighbor Totoro"}
    assert "My Neighbor Totoro" in await rig.find_names("gibli", territory="FR")
    # The titles of a group are those of the index.
    rig.catalogue.stored[HEAT.title_id] = replace(HEAT, studios=["Studio Ghibli"])
    await rig.handle(TitleChanged(title_id=HEAT.title_id))
    assert "Heat" in await rig.find_names("gibli")
    rig.catalogue.stored[HEAT.title_id] = HEAT
    await rig.handle(TitleChanged(title_id=HEAT.title_id))
    assert (await rig.find("gibli")).correction == "Gizli"


async def test_titles_of_a_country_are_among_many_names_that_begin_with_its_adjective(tmp_path: Path) -> None:
    names = [make_title(f"American {number}") for number in range(60)]
    rig = Rig(tmp_path, HEAT, PARASITE, *names)
    await rig.indexer.rebuild()
    await rig.handle(rig.play(HEAT))
    await rig.indexer.rebuild()
    for query in ("american", "amerikanisch"):
        found = await rig.find_names(query)
        assert "Heat" in found
        assert "Parasite" not in found


def test_adjectives_of_countries() -> None:
    assert all(map(is_origin, ("american", "korean", "franzosisch", "amerikanischer", "韓国語", "кореискии")))
    assert not any(map(is_origin, ("jordan", "usa", "neo", "the", "matrix", "")))
