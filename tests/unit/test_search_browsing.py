"""Browsing by initials: where names are listed, and what viewers get."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.search_rig import Rig, make_title

from matinee.catalogue.api import RightsWindow
from matinee.events.api import TitleWithdrawn
from matinee.kit.problem import Invalid
from matinee.search.model.initials import OTHERS, choose_language, list_places, normalise, place_name, sort_initials


@pytest.mark.parametrize(
    ("name", "language", "initial", "key"),
    [
        ("The Matrix", "en", "M", "matrix"),
        ("The", "en", "T", "the"),
        ("Die Hard", "en", "D", "die hard"),
        ("Die Brücke", "de-AT", "B", "brucke"),
        ("L'Avventura", "it", "A", "avventura"),
        ("Élite", "fr", "E", "elite"),
        ("¡Átame!", "es", "A", "atame"),
        ("İstanbul", "tr", "I", "istanbul"),
        ("Ёлки", "ru", "Е", "елки"),
        ("الرسالة", "ar", "ر", "رساله"),
        ("ألف ليلة", "ar", "ا", "الف ليله"),
        ("千と千尋の神隠し", "ja", "さ", "せんとちひろのかみかくし"),
        ("東京 Story", "en", "D", "dongjing story"),
        ("となりのトトロ", "ja", "た", "となりのととろ"),
        ("ガメラ", "en", "か", "がめら"),
        ("STAR ウォーズ", "ja", "S", "star うぉず"),
        ("英雄", "zh", "Y", "yingxiong"),
        ("기생충", "ko", "ㄱ", "ㄱㅣㅅㅐㅇㅊㅜㅇ"),
        ("빠삐용", "ko", "ㅂ", "ㅃㅏㅃㅣㅇㅛㅇ"),
        ("2001", "en", "#", "2001"),
        ("...", "en", "#", ""),
    ],
)
def test_where_a_name_is_listed(name: str, language: str, initial: str, key: str) -> None:
    assert place_name(name, language) == (initial, key)


def test_a_title_is_listed_by_the_name_that_is_shown() -> None:
    names = {"en": "The Bridge", "de": "Die Brücke", "ja": "橋", "fr": "The Bridge"}
    places = list_places(make_title("x", names=names))
    assert {language: place.initial for language, place in places.items()} == {"en": "B", "de": "B", "ja": "は"}
    # A name is without the articles of its own language for every viewer.
    assert list_places(make_title("x", names={"en": "Die Hard"})) == {"en": ("D", "die hard")}


def test_initials_are_in_the_order_of_the_language() -> None:
    found = set("AZ#かあЯㄱ")
    assert sort_initials(found, "ja") == [*"あかAZЯㄱ#"]
    assert sort_initials(found, "ru") == [*"ЯAZあかㄱ#"]
    assert sort_initials(found, "en") == [*"AZЯあかㄱ#"]


def test_initials_and_languages_as_they_are_given() -> None:
    assert [normalise(each) for each in ["s", "é", "9", "ガ", "ㄲ", "я"]] == ["S", "E", OTHERS, "か", "ㄱ", "Я"]
    assert [choose_language(tag) for tag in ["de", "pt-BR", "ZH-hant", "sw", ""]] == ["de", "pt", "zh", "en", "en"]


async def open_rig(folder: Path, *titles: Any) -> Rig:
    rig = Rig(folder, *titles)
    await rig.indexer.rebuild()
    return rig


async def list_initials(rig: Rig, **viewer: Any) -> str:
    return "".join(await rig.browser.list_initials(**{"language": "en", "territory": "DE", "maturity": 18, **viewer}))


async def browse(rig: Rig, initial: str, **more: Any) -> tuple[list[str], str | None]:
    common = {"language": "en", "territory": "DE", "maturity": 18, "cursor": None, "limit": 40}
    page = await rig.browser.browse(initial=initial, **{**common, **more})
    return [rig.catalogue.stored[title_id].names["en"] for title_id in page.items], page.next_cursor


async def test_titles_are_in_the_order_of_their_names_page_by_page(tmp_path: Path) -> None:
    names = ["Salt", "The Sea", "Élan", "Solaris", "A Star", "Sátántangó", "Überfall", "8½"]
    rig = await open_rig(tmp_path, *map(make_title, names))
    assert await list_initials(rig) == "ESU#"
    everything = ["Salt", "Sátántangó", "The Sea", "Solaris", "A Star"]
    assert await browse(rig, "S") == (everything, None)
    assert await browse(rig, "s", limit=5) == (everything, None)
    first, cursor = await browse(rig, "S", limit=2)
    # A title that leaves the list between two pages moves no other one.
    gone = next(title for title in rig.catalogue.stored.values() if title.names["en"] == "Sátántangó")
    del rig.catalogue.stored[gone.title_id]
    await rig.handle(TitleWithdrawn(title_id=gone.title_id))
    rig.clock.advance(seconds=61)
    second, last = await browse(rig, "S", limit=2, cursor=cursor)
    third, end = await browse(rig, "S", limit=2, cursor=last)
    assert [*first, *second, *third] == everything
    assert end is None
    assert await browse(rig, "#") == (["8½"], None)
    assert await browse(rig, "Q") == ([], None)


async def test_titles_that_have_one_name_are_all_listed(tmp_path: Path) -> None:
    rig = await open_rig(tmp_path, *(make_title(f"Salt {number}", names={"en": "Salt"}) for number in range(7)))
    found, cursor = await browse(rig, "S", limit=3)
    while cursor:
        more, cursor = await browse(rig, "S", limit=3, cursor=cursor)
        found += more
    assert found == ["Salt"] * 7


async def test_a_child_gets_neither_what_is_not_for_it_nor_its_initials(tmp_path: Path) -> None:
    rig = await open_rig(
        tmp_path, make_title("Bambi"), make_title("Blood", maturity=16), make_title("Gore", maturity=18)
    )
    assert await list_initials(rig) == "BG"
    assert await browse(rig, "B") == (["Bambi", "Blood"], None)
    assert await list_initials(rig, maturity=6) == "B"
    assert await browse(rig, "B", maturity=6) == (["Bambi"], None)
    assert await browse(rig, "G", maturity=6) == ([], None)


async def test_titles_are_listed_where_and_while_they_are_available(tmp_path: Path) -> None:
    now = Rig(tmp_path / "unused").clock.now()
    france = make_title("France", rights=[RightsWindow(territory="FR")])
    over = make_title("Over", rights=[RightsWindow(closes_at=now + timedelta(minutes=5))])
    soon = make_title("Soon", rights=[RightsWindow(opens_at=now + timedelta(minutes=5))])
    rig = await open_rig(tmp_path / "index", france, over, soon, make_title("Draft", state="draft"))
    assert await list_initials(rig) == "O"
    assert await list_initials(rig, territory="FR") == "FO"
    assert await browse(rig, "F") == ([], None)
    assert await browse(rig, "F", territory="FR") == (["France"], None)
    rig.clock.advance(minutes=6)
    assert await list_initials(rig) == "S"
    assert (await browse(rig, "O"), await browse(rig, "S")) == (([], None), (["Soon"], None))


async def test_an_initial_is_not_hidden_by_many_titles_that_are_not_available(tmp_path: Path) -> None:
    now = Rig(tmp_path / "unused").clock.now()
    rights = [RightsWindow(opens_at=now + timedelta(days=1))]
    titles = [make_title(f"Soon {number}", rights=rights) for number in range(100)]
    rig = await open_rig(tmp_path / "index", make_title("Salt"), *titles)
    rig.popularity.plays = {title.title_id: 9.0 for title in titles}
    await rig.indexer.rebuild()
    assert await list_initials(rig) == "S"
    assert await browse(rig, "S") == (["Salt"], None)


async def test_viewers_browse_by_the_names_of_their_language(tmp_path: Path) -> None:
    bridge = make_title("The Bridge", names={"en": "The Bridge", "de": "Die Zugbrücke", "ru": "Мост"})
    rig = await open_rig(tmp_path, bridge, make_title("Alien"))
    assert [await list_initials(rig, language=language) for language in ("en", "de-AT", "ru", "sw")] == [
        "AB",
        "AZ",
        "МA",
        "AB",
    ]
    assert await browse(rig, "Z", language="de-CH") == (["The Bridge"], None)
    assert await browse(rig, "м", language="ru") == (["The Bridge"], None)


async def test_what_is_not_valid_is_refused(tmp_path: Path) -> None:
    rig = await open_rig(tmp_path, make_title("Salt"))
    for bad in ({"initial": ""}, {"initial": "ab"}, {"limit": 0}, {"limit": 101}, {"cursor": "x"}):
        with pytest.raises(Invalid):
            await browse(rig, **{"initial": "S", **bad})
