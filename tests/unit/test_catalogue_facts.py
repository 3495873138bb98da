"""What is known of a title besides its names: countries, studios, franchise, moods and keywords."""

from typing import Any

import msgspec
import pytest

from matinee.catalogue.api import Mood, Title, TitleDraft
from matinee.catalogue.model.rules import apply_draft
from matinee.catalogue.model.validation import check_draft
from matinee.kit import ids
from matinee.kit.ids import TitleId
from matinee.kit.problem import Invalid

FACTS: dict[str, Any] = {
    "countries": ["KR", "US"],
    "studios": ["Studio Ghibli", "東宝"],
    "franchise": {"en": "Star Wars", "ja": "スター・ウォーズ"},
    "moods": [Mood(mood_id="feel-good", names={"en": "Feel-good"})],
    "keywords": [{"en": "heist", "de": "Raubüberfall"}],
}


def draft(**fields: Any) -> TitleDraft:
    known = {"title_id": ids.derive(TitleId, "film"), "kind": "film", "names": {"en": "A"}, "original_language": "en"}
    return TitleDraft(**{**known, **fields})


def test_facts_are_valid_and_optional() -> None:
    check_draft(draft())
    check_draft(draft(**FACTS))


def test_stored_title_without_the_fields_is_read() -> None:
    stored = msgspec.json.decode(msgspec.json.encode(apply_draft(draft(), None)))
    for name in FACTS:
        del stored[name]
    title = msgspec.json.decode(msgspec.json.encode(stored), type=Title)
    assert title == apply_draft(draft(), None)
    assert (title.countries, title.studios, title.franchise, title.moods, title.keywords) == ([], [], {}, [], [])


def test_facts_survive_encoding_and_are_replaced_by_the_next_draft() -> None:
    title = apply_draft(draft(**FACTS), None)
    assert {name: getattr(title, name) for name in FACTS} == FACTS
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(title), type=Title) == title
    assert apply_draft(draft(studios=["Toho"]), title).studios == ["Toho"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"countries": ["kr"]}, "countries.0"),
        ({"countries": ["KOR"]}, "countries.0"),
        ({"countries": ["KR", "KR"]}, "countries"),
        ({"studios": [" "]}, "studios.0"),
        ({"studios": ["x" * 301]}, "studios.0"),
        ({"studios": [f"studio {number}" for number in range(51)]}, "studios"),
        ({"franchise": {"en": ""}}, "franchise.en"),
        ({"franchise": {"english!": "x"}}, "franchise.english!"),
        ({"moods": [Mood(mood_id="Feel good", names={"en": "x"})]}, "moods.0.mood_id"),
        ({"moods": [Mood(mood_id="x", names={})]}, "moods.0.names"),
        ({"moods": [Mood(mood_id="x", names={"en": "x"})] * 2}, "moods"),
        ({"keywords": [{}]}, "keywords.0"),
        ({"keywords": [{"en": "x" * 101}]}, "keywords.0.en"),
        ({"keywords": [{"en": "x"}] * 201}, "keywords"),
    ],
)
def test_invalid_facts_name_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_draft(draft(**fields))
    assert field in {fault.field for fault in caught.value.faults}
