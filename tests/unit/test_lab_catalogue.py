"""The generated catalogue: deterministic, in ten languages, with what makes names hard to find."""

from collections import Counter
from random import Random

import pytest

from matinee.lab.catalogue import GENRES, LANGUAGES, GeneratedTitle, generate_titles
from matinee.lab.catalogue.names import capitalise, get_composer, lower
from matinee.lab.catalogue.scripts import (
    Romaji,
    read_japanese,
    romanise_cyrillic,
    romanise_hangul,
    to_full_width,
    to_half_width,
    to_katakana_name,
    to_pinyin,
    to_romaji,
    to_simplified,
    to_traditional,
)

COUNT = 300


@pytest.fixture(scope="module")
def titles() -> list[GeneratedTitle]:
    return list(generate_titles(COUNT, seed=5))


def test_same_seed_gives_the_same_titles(titles: list[GeneratedTitle]) -> None:
    assert list(generate_titles(COUNT, seed=5)) == titles
    assert next(generate_titles(COUNT, seed=6)) != titles[0]


def test_ids_are_distinct(titles: list[GeneratedTitle]) -> None:
    assert len({title.draft.title_id for title in titles}) == COUNT
    episodes = [episode.episode_id for title in titles for episode in title.draft.episodes]
    assert len(set(episodes)) == len(episodes)


def test_titles_have_names_in_two_to_ten_languages_and_one_is_the_original(titles: list[GeneratedTitle]) -> None:
    counts = Counter(len(title.draft.names) for title in titles)
    assert min(counts) == 2
    assert max(counts) == 10
    for title in titles:
        assert title.draft.original_language in title.draft.names
        assert {tag.partition("-")[0] for tag in title.draft.names} <= set(LANGUAGES)
        assert all(name.strip() for name in title.draft.names.values())


def test_every_language_is_an_original_language(titles: list[GeneratedTitle]) -> None:
    assert {title.draft.original_language.partition("-")[0] for title in titles} == set(LANGUAGES)


def test_popularity_falls_with_the_rank(titles: list[GeneratedTitle]) -> None:
    values = sorted((title.popularity for title in titles), reverse=True)
    assert values[0] == 1
    assert all(0 < value <= 1 for value in values)
    assert values[10] < 0.3


def test_about_a_quarter_are_series_with_named_episodes(titles: list[GeneratedTitle]) -> None:
    series = [title.draft for title in titles if title.draft.kind == "series"]
    assert 0.15 < len(series) / COUNT < 0.35
    for draft in series:
        seasons = Counter(episode.season_number for episode in draft.episodes)
        assert 1 <= len(seasons) <= 4
        assert all(6 <= count <= 10 for count in seasons.values())
        assert all(episode.names for episode in draft.episodes)
    assert not any(title.draft.episodes for title in titles if title.draft.kind == "film")


def test_years_genres_and_credits_are_complete(titles: list[GeneratedTitle]) -> None:
    for title in titles:
        assert 1930 <= (title.draft.year or 0) <= 2026
        assert 1 <= len(title.draft.genres) <= 3
        roles = Counter(credit.role for credit in title.draft.credits)
        assert roles["director"] == roles["writer"] == 1
        assert 1 <= roles["cast"] <= 8
        assert all(credit.character for credit in title.draft.credits if credit.role == "cast")


def test_people_are_credited_in_several_titles(titles: list[GeneratedTitle]) -> None:
    people = Counter(credit.person.person_id for title in titles for credit in title.draft.credits)
    assert people.most_common(1)[0][1] > 3


def test_sequels_continue_the_names_of_their_franchise(titles: list[GeneratedTitle]) -> None:
    by_id = {title.draft.title_id: title.draft for title in titles}
    sequels = [title for title in titles if title.franchise]
    assert len(sequels) > COUNT / 20
    for title in sequels:
        first = by_id[title.franchise or title.draft.title_id]
        assert all(name.startswith(first.names[tag]) for tag, name in title.draft.names.items())


def test_japanese_names_have_a_reading_in_hiragana_and_romaji(titles: list[GeneratedTitle]) -> None:
    for title in titles:
        assert bool(title.reading) == bool(title.romaji) == ("ja" in title.draft.names)


def test_genres_have_names_in_every_language() -> None:
    assert len(GENRES) == 24
    assert all(set(genre.names) == set(LANGUAGES) for genre in GENRES)


@pytest.mark.parametrize("tag", list(LANGUAGES))
def test_composer_forms_names_of_every_language(tag: str) -> None:
    rng = Random(1)
    names = {get_composer(tag).compose(rng) for _ in range(200)}
    assert len(names) > 190


def test_turkish_letters_keep_their_dots() -> None:
    assert capitalise("iyi", "tr") == "İyi"
    assert capitalise("ısı", "tr") == "Isı"
    assert lower("IŞIK İYİ", "tr") == "ışık iyi"
    assert lower("IN", "en") == "in"


@pytest.mark.parametrize(
    ("kana", "system", "romaji"),
    [
        ("しんちゅう", "hepburn", "shinchu"),
        ("しんちゅう", "kunrei", "sintyu"),
        ("しんちゅう", "wapuro", "shinchuu"),
        ("トウキョウ", "hepburn", "tokyo"),
        ("トウキョウ", "wapuro", "toukyou"),
        ("まっちゃ", "hepburn", "matcha"),
        ("まっちゃ", "kunrei", "mattya"),
        ("ファンタジー", "hepburn", "fantaji"),
        ("ファンタジー", "kunrei", "fantazi"),
        ("ティーパーティー", "wapuro", "tiipaatii"),
        ("ーー", "wapuro", ""),
    ],
)
def test_kana_are_romanised_in_each_system(kana: str, system: Romaji, romaji: str) -> None:
    assert to_romaji(kana, system) == romaji


def test_names_are_written_in_other_scripts() -> None:
    assert read_japanese("東京物語") == "とうきょうものがたり"
    assert to_half_width("ガンダム") == "ｶﾞﾝﾀﾞﾑ"
    assert to_full_width("abc 1") == "ａｂｃ １"
    assert to_katakana_name("Night of the Matrix") == "ナイト・オブ・ザ・マトリックス"
    assert to_katakana_name("WALL·E") == ""
    assert romanise_cyrillic("Жизнь") == "Zhizn"
    assert romanise_hangul("김민준") == "gimminjun"
    assert to_pinyin("黑暗") == ["hei", "an"]
    assert to_traditional("发现") == "發現"
    assert to_simplified("發現") == "发现"
