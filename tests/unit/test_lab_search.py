"""The judged queries and the measures of a search."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from matinee.lab.catalogue import GeneratedTitle, generate_titles
from matinee.lab.search import (
    CLASSES,
    PARTS,
    JudgedQuery,
    Score,
    evaluate,
    generate_queries,
    render_parts,
    render_scores,
)
from matinee.lab.search.evaluation import measure_ndcg, measure_reciprocal_rank
from matinee.lab.search.index import NameIndex
from matinee.lab.search.keyboards import (
    find_neighbours,
    spell_jamo,
    type_english_on_russian,
    type_korean_on_english,
    type_russian_on_english,
)
from matinee.lab.search.keys import fold, is_alphabetic, make_key
from matinee.lab.search.parts import without
from matinee.lab.search.spelling import drop_article, drop_fillers, misspell, respell
from matinee.lab.search.trial import build_trial, make_find, open_index


@pytest.fixture(scope="module")
def titles() -> list[GeneratedTitle]:
    return list(generate_titles(300, seed=5))


@pytest.fixture(scope="module")
def queries(titles: list[GeneratedTitle]) -> list[JudgedQuery]:
    return generate_queries(titles, 400, seed=2)


def test_same_seed_gives_the_same_queries(titles: list[GeneratedTitle], queries: list[JudgedQuery]) -> None:
    assert generate_queries(titles, 400, seed=2) == queries
    assert generate_queries(titles, 400, seed=3) != queries


def test_every_class_has_queries(queries: list[JudgedQuery]) -> None:
    assert {query.query_class for query in queries} == set(CLASSES)
    assert len(queries) > 380


def test_shares_of_the_classes_are_the_whole() -> None:
    assert sum(share for share, _ in CLASSES.values()) == 100


def test_queries_mean_titles_or_people_of_the_catalogue(
    titles: list[GeneratedTitle], queries: list[JudgedQuery]
) -> None:
    ids = {title.draft.title_id for title in titles}
    people = {credit.person.person_id for title in titles for credit in title.draft.credits}
    for query in queries:
        known = people if query.query_class == "person" else ids
        assert query.text.strip()
        assert set(query.grades) <= known, query
        assert set(query.grades.values()) <= {1, 2, 3}
        assert (3 in query.grades.values()) == (query.query_class != "nonsense"), query


def test_misspelled_queries_are_not_names(titles: list[GeneratedTitle], queries: list[JudgedQuery]) -> None:
    keys = NameIndex(titles).by_key
    misspelled = [query for query in queries if query.query_class in ("one-typo", "two-typos", "phonetic")]
    assert not any(make_key(query.text) in keys for query in misspelled)


def test_title_of_another_language_with_the_same_name_is_meant_too(titles: list[GeneratedTitle]) -> None:
    index = NameIndex(titles)
    for title in titles:
        for name in title.draft.names.values():
            assert index.grade(name.upper())[title.draft.title_id] == 3


def test_prefix_grades_the_most_popular_titles_best(titles: list[GeneratedTitle]) -> None:
    index = NameIndex(titles)
    found = index.find_prefix("the")
    grades = index.grade_prefix("the")
    assert len(found) > 30
    assert [grades[title.draft.title_id] for title in found[:30]] == [3] * 3 + [2] * 7 + [1] * 20
    assert [title.popularity for title in found] == sorted((title.popularity for title in found), reverse=True)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("M*A*S*H", "mash"),
        ("WALL·E", "walle"),
        ("#Alive", "alive"),
        ("L'Été", "lete"),
        ("İstanbul'da Işık", "istanbuldaisik"),
        ("ｶﾞﾝﾀﾞﾑ", "ガンダム"),
        ("الدّين", "الدين"),
        ("Straße", "strasse"),
    ],
)
def test_key_is_without_case_accents_and_punctuation(text: str, key: str) -> None:
    assert make_key(text) == key


def test_fold_separates_words() -> None:
    assert fold("Spider-Man: No  Way") == "spider man no way"


def test_alphabetic_text_is_mostly_latin_or_cyrillic() -> None:
    assert is_alphabetic("Études")
    assert is_alphabetic("Жизнь")
    assert not is_alphabetic("東京 II")


def test_other_layouts() -> None:
    assert type_russian_on_english("привет") == "ghbdtn"
    assert type_english_on_russian("hello") == "руддщ"
    assert type_korean_on_english("한글") == "gksrmf"
    assert spell_jamo("하구").startswith(spell_jamo("학"))
    assert set(find_neighbours("g", "en")) == set("fhtyvb")
    assert "z" in find_neighbours("t", "de")


@pytest.mark.parametrize("seed", range(50))
def test_misspelled_name_keeps_most_letters(seed: int) -> None:
    text = misspell("the strange things", "en", Random(seed), edits=2)
    assert abs(len(text) - 18) <= 2
    assert len(text.split(" ")) == 3


def test_short_words_are_not_misspelled() -> None:
    assert misspell("it", "en", Random(1)) == "it"


def test_sounds_are_spelled_in_another_way() -> None:
    found = {respell("the phantom knight", "en", Random(seed)) for seed in range(60)}
    assert "the fantom knight" in found
    assert "the phantom night" in found


def test_articles_and_connecting_words_are_left_out() -> None:
    assert drop_article("the matrix", "en") == "matrix"
    assert drop_article("l'homme", "fr") == "homme"
    assert drop_article("a", "en") == "a"
    assert drop_fillers("the lord of the rings", "en") == "lord rings"


def test_ndcg_of_hand_made_cases() -> None:
    grades = {"a": 3, "b": 2, "c": 1}
    assert measure_ndcg(grades, ["a", "b", "c"]) == pytest.approx(1)
    # (3/log2(3)) / (3 + 2/log2(3) + 1/2)
    assert measure_ndcg(grades, ["x", "a"]) == pytest.approx(0.3974895)
    assert measure_ndcg(grades, []) == 0
    assert measure_ndcg(grades, ["x"] * 10 + ["a"]) == 0


def test_reciprocal_rank_counts_what_is_meant() -> None:
    assert measure_reciprocal_rank({"a": 3, "b": 1}, ["b", "x", "a"]) == pytest.approx(1 / 3)
    assert measure_reciprocal_rank({"a": 3}, ["b"]) == 0


async def test_evaluation_measures_classes_apart() -> None:
    answers = {"one": ["tit_1"], "two": ["tit_9", "tit_1"], "ada": ["tit_1", "per_1"], "zzz": ["tit_1"]}
    queries = [
        _judge("one", "exact", {"tit_1": 3}),
        _judge("two", "exact", {"tit_1": 3}),
        _judge("ada", "person", {"per_1": 3}),
        _judge("zzz", "nonsense", {}),
        _judge("none", "genre", {"tit_1": 3}),
    ]

    async def find(query: str, language: str) -> Sequence[str]:
        assert language == "en"
        return answers.get(query, [])

    async def find_exact(query: str, language: str) -> Sequence[str]:
        return []

    result = await evaluate(find, queries)
    scores = {score.query_class: score for score in result.scores}
    assert scores["exact"] == Score(
        query_class="exact",
        count=2,
        success_at_1=0.5,
        success_at_10=1,
        mrr=0.75,
        ndcg_at_10=pytest.approx((1 + 0.63093) / 2, abs=1e-5),  # type: ignore[arg-type]
    )
    assert scores["person"].success_at_1 == 1
    assert scores["nonsense"].success_at_1 == 0
    assert scores["all"].count == 5
    assert [miss.query.text for miss in result.misses] == ["zzz", "none"]
    assert [score.query_class for score in result.patterns] == [
        "exact/made", "genre/made", "nonsense/made", "person/made",
    ]  # fmt: skip

    result = await evaluate(find, queries, find_exact=find_exact)
    assert {score.query_class: score.success_at_1 for score in result.scores}["nonsense"] == 1
    assert "exact" in render_scores(result.scores)


def _judge(text: str, query_class: str, grades: dict[str, int]) -> JudgedQuery:
    return JudgedQuery(text=text, language="en", query_class=query_class, pattern="made", grades=grades)


@pytest.mark.parametrize("engine", ["tantivy", "opensearch"])
@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_switched_off(part: str, engine: str) -> None:
    with without(part, engine):
        pass


async def test_parts_that_are_off_are_missed(titles: list[GeneratedTitle], tmp_path: Path) -> None:
    async with open_index("tantivy", tmp_path) as index:
        find = make_find(await build_trial(index, titles))
        queries = generate_queries(titles, 200, seed=2)
        complete = await evaluate(find, queries)
        with without("keyboard layouts", "tantivy"):
            other = await evaluate(find, queries)
    lines = render_parts(complete, {"keyboard layouts": other}).splitlines()
    assert lines[0] == "success@10 without"
    assert "wrong-layout 1.000 → 0.000" in lines[1]
