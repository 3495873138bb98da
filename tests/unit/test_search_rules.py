"""Synonyms and pins of the editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.search_rig import GERMAN, HIDDEN, STRANGER, STRAYS, Rig, make_title

from matinee.kit.problem import Invalid, Unreachable
from matinee.search.api import Pin, SearchRule, Synonym, TooManyRules
from matinee.search.model.rules import Rules


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path / "search", STRANGER, STRAYS, GERMAN, HIDDEN, make_title("Stones"), make_title("Winter Tale"))
    await rig.indexer.rebuild()
    return rig


def test_words_of_a_query_are_replaced_by_their_meanings() -> None:
    rules = Rules(
        [
            Synonym(query="LOTR", meanings=["Lord of the Rings"]),
            Synonym(query="sci fi", meanings=["Science Fiction", "SF"]),
        ]
    )
    assert rules.list_meanings("lotr 2") == ["lord of the rings 2"]
    assert rules.list_meanings("best Sci-Fi") == ["best science fiction", "best sf"]
    assert rules.list_meanings("lotr sci fi") == [
        "lord of the rings sci fi",
        "lotr science fiction",
        "lotr sf",
    ]
    assert (rules.list_meanings("scifi"), rules.list_meanings("")) == ([], [])


async def test_a_synonym_finds_what_it_means(rig: Rig) -> None:
    assert await rig.find_names("hawkins") == []
    await rig.editor.put(Synonym(query="Hawkins", meanings=["stranger things"]))
    result = await rig.find("hawkins")
    assert ([hit.name for hit in result.titles], result.correction) == (["Stranger Things"], None)
    assert await rig.find_names("stones") == ["Stones"]
    assert await rig.editor.remove("synonym", "HAWKINS")
    assert not await rig.editor.remove("synonym", "hawkins")
    assert await rig.find_names("hawkins") == []


async def test_pinned_titles_come_first_for_those_who_may_find_them(rig: Rig) -> None:
    pinned = [title.title_id for title in (STRAYS, GERMAN, HIDDEN, make_title("Winter Tale"))]
    await rig.editor.put(Pin(query="Stones!", title_ids=pinned))

    async def find(**viewer: Any) -> list[str]:
        return await rig.find_names("stones", **viewer)

    assert await find() == ["Strays", "Winter Tale", "Stones"]
    assert await find(maturity=12) == ["Winter Tale", "Stones"]
    assert await find(territory="FR") == ["Strays", "Strand", "Winter Tale", "Stones"]
    assert await rig.find_names("stone") == ["Stones"]
    reasons = (await rig.search.explain(query="stones", territory="DE")).reasons
    assert [reason.parts.get("pinned") for reason in reasons[:3]] == [2.0, 1.995, None]


async def test_pins_answer_a_query_that_finds_nothing_else(rig: Rig) -> None:
    await rig.editor.put(Pin(query="xmas", title_ids=[STRANGER.title_id]))
    result = await rig.find("xmas")
    assert ([hit.name for hit in result.titles], result.correction) == (["Stranger Things"], None)


async def test_a_correction_is_shown_beside_a_pinned_title(rig: Rig) -> None:
    await rig.editor.put(Pin(query="stanger", title_ids=[STRAYS.title_id]))
    result = await rig.find("stanger")
    assert ([hit.name for hit in result.titles], result.correction) == (
        ["Strays", "Stranger Things"],
        "Stranger Things",
    )


async def test_rules_have_letters_and_a_limit(rig: Rig) -> None:
    for rule in (Pin(query="!!!", title_ids=[STRANGER.title_id]), Synonym(query="a", meanings=["b", "🎃"])):
        with pytest.raises(Invalid):
            await rig.editor.put(rule)
    for query in "abc":
        await rig.editor.put(Pin(query=query, title_ids=[STRANGER.title_id]))
    with pytest.raises(TooManyRules):
        await rig.editor.put(Pin(query="d", title_ids=[STRANGER.title_id]))
    assert len(await rig.editor.list_rules()) == 3


async def test_rules_of_another_process_are_used_after_some_seconds(rig: Rig) -> None:
    await rig.find("xmas")
    await rig.rules.put("xmas", Pin(query="xmas", title_ids=[STRANGER.title_id]), limit=9)
    rig.clock.advance(seconds=6)
    await rig.find("xmas")
    assert await rig.find_names("xmas") == ["Stranger Things"]


async def test_rules_that_cannot_be_read_are_done_without(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.editor.put(Pin(query="xmas", title_ids=[STRANGER.title_id]))

    async def fail() -> list[SearchRule]:
        raise Unreachable(detail="the store is away")

    monkeypatch.setattr(rig.rules, "load", fail)
    rig.clock.advance(seconds=6)
    for _ in range(2):
        assert await rig.find_names("xmas") == ["Stranger Things"]
