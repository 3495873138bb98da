"""The rules of search: folding, forms, matching, order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.catalogue.api import Credit, Episode, Genre, Person, RightsWindow, Title
from matinee.kit import ids
from matinee.kit.ids import EpisodeId, PersonId, TitleId
from matinee.search.model import japanese
from matinee.search.model.affinity import add_plays, measure
from matinee.search.model.documents import (
    Audience,
    Credited,
    NameDocument,
    add_credits,
    build_person_documents,
    build_title_documents,
)
from matinee.search.model.episodes import parse_episode
from matinee.search.model.folding import LENGTH_LIMIT, fold, join
from matinee.search.model.forms import list_name_forms, read_query
from matinee.search.model.keyboards import swap_layout
from matinee.search.model.matching import allow_edits, find_highlights, match_name
from matinee.search.model.popularity import decay, to_shares
from matinee.search.model.ranking import rank_names, scale_popularity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Le Fabuleux Destin d’Amélie Poulain", "le fabuleux destin d amelie poulain"),
        ("M*A*S*H", "mash"),
        ("WALL·E", "walle"),
        ("#Alive!", "alive"),
        ("Schindler's List", "schindlers list"),
        ("Tom & Jerry", "tom and jerry"),
        ("Straße", "strasse"),
        ("İSTANBUL Iğdır", "istanbul igdir"),
        ("ﾊﾝｶｸ", "はんかく"),
        ("ガンダム", "がんだむ"),
        ("ไทย", "ไทย"),
        ("ἀγάπης", "αγαπησ"),
        ("شَمْسٌ", "شمس"),
        ("שָׁלוֹם", "שלומ"),
        ("ёлка", "елка"),
        ("２００１", "2001"),
        ("8½", "8 1 2"),
        ("8 1/2", "8 1 2"),
        ("宮﨑駿", "宮崎駿"),
        ("\x00 \u202e <>", ""),
    ],
)
def test_folded_spelling(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize("letter", ["\ufdfa", "\u3300", "½", "ẞ"])
def test_letters_that_stand_for_many_do_not_make_a_query_longer(letter: str) -> None:
    assert len(fold(letter * LENGTH_LIMIT)) <= LENGTH_LIMIT * 2


@given(st.text(max_size=60))
def test_folding_is_stable(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert folded == folded.strip()
    assert "  " not in folded


@pytest.mark.parametrize(
    "spellings",
    [
        (
            "東京物語",
            "とうきょうものがたり",
            "トウキョウモノガタリ",
            "tokyo monogatari",
            "toukyou monogatari",
            "tôkyô monogatari",
        ),
        ("進撃の巨人", "しんげきのきょじん", "shingeki no kyojin", "singeki no kyozin"),
        ("スター・ウォーズ", "すたーうぉーず", "ｽﾀｰｳｫｰｽﾞ"),
        ("新聞", "しんぶん", "shinbun", "shimbun", "sinbun"),
    ],
)
def test_japanese_in_every_script_has_one_form(spellings: tuple[str, ...]) -> None:
    name, *others = spellings
    forms = {join(form) for form in list_name_forms(name, "ja")}
    for other in others:
        assert forms & {join(form) for form in read_query(other)}, other


@pytest.mark.parametrize(
    ("name", "language", "query"),
    [
        ("臥虎藏龍", "zh", "卧虎藏龙"),
        ("臥虎藏龍", "zh", "wo hu cang long"),
        ("Привет", "ru", "privet"),
        ("Star Wars", "en", "стар варс"[:4]),
        ("Das Mädchen", "de", "das maedchen"),
        ("Das Mädchen", "de", "das madchen"),
        ("기생충", "ko", "ㄱㅣ생"),
    ],
)
def test_other_scripts_and_spellings_answer(name: str, language: str, query: str) -> None:
    forms = list_name_forms(name, language)
    found = [match_name(text, form) for text in read_query(query) for form in forms]
    assert {each.match for each in found if each} & {"exact", "prefix"}


def test_romaji_is_recognised() -> None:
    assert all(japanese.is_romaji(text) for text in ("tonari no totoro", "shippai", "matcha", "kyojin"))
    assert not any(japanese.is_romaji(text) for text in ("matrix", "star wars", "strange"))
    assert japanese.make_key("matrix") is None
    assert japanese.make_key("漢字かな") is None
    assert all(japanese.has_ideograph(text) for text in ("漢字かな", "人々", "\uf900", "𠮷"))
    assert not any(japanese.has_ideograph(text) for text in ("かな", "한국", "Ж", "\ud800", "ﾊﾝ"))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("ghbdtn", "привет"), ("руддщ", "hello"), ("dkssud", "ㅇㅏㄴㄴㅕㅇ"), ("akuo", "שלום"), ("lvpfh", "مرحبا")],
)
def test_text_of_another_keyboard_layout_is_read(typed: str, meant: str) -> None:
    assert meant in swap_layout(typed)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("dark s2e3", ("dark", 2, 3)),
        ("Dark S02 E03", ("Dark", 2, 3)),
        ("dark 2x03", ("dark", 2, 3)),
        ("dark season 2 episode 3", ("dark", 2, 3)),
        ("dark Staffel 2 Folge 3", ("dark", 2, 3)),
        ("dark 2. sezon 3. bölüm", ("dark", 2, 3)),
        ("三体 第2季第3集", ("三体", 2, 3)),
        ("ダーク シーズン2 第3話", ("ダーク", 2, 3)),
        ("다크 시즌 2 3화", ("다크", 2, 3)),
        ("الظلام الموسم 2 الحلقة 3", ("الظلام", 2, 3)),
        ("Dark S2:E3", ("Dark", 2, 3)),
        ("dark s2-e3", ("dark", 2, 3)),
        ("dark temporada 2 capítulo 3", ("dark", 2, 3)),
        ("dark s2", ("dark", 2, None)),
        ("dark s2e", ("dark", 2, None)),
        ("dark season 2 epi", ("dark", 2, None)),
        ("dark episode 3", ("dark", None, 3)),
        ("dark ep. 3", ("dark", None, 3)),
        ("darks2e3", ("dark", 2, 3)),
        ("season 2 dark", ("dark", 2, None)),
        ("season 2", None),
        ("s2e3", None),
        ("apollo 13", None),
        ("1920x1080", None),
    ],
)
def test_episodes_by_number(query: str, expected: tuple[str, int | None, int | None] | None) -> None:
    assert parse_episode(query) == expected


@pytest.mark.parametrize(
    ("query", "name", "match"),
    [
        ("star wars", "Star Wars", "exact"),
        ("starwars", "Star Wars", "exact"),
        ("spider man", "Spiderman", "exact"),
        ("godfather", "The Godfather", "exact"),
        ("str", "Stranger Things", "prefix"),
        ("things", "Stranger Things", "prefix"),
        ("strangerth", "Stranger Things", "prefix"),
        ("things stra", "Stranger Things", "words"),
        ("stanger thigns", "Stranger Things", "corrected"),
        ("matirx", "The Matrix", "corrected"),
        ("natrix", "The Matrix", "corrected"),
        ("mat", "Met", None),
        ("gravity", "Star Wars", None),
        ("", "Star Wars", None),
    ],
)
def test_how_a_name_answers(query: str, name: str, match: str | None) -> None:
    found = match_name(fold(query), fold(name))
    assert (found and found.match) == match


def test_edits_are_allowed_by_length_and_a_transposition_is_one() -> None:
    assert [allow_edits(length) for length in (3, 4, 7, 8, 16)] == [0, 1, 1, 2, 3]
    found = match_name("strnager", "stranger")
    assert found is not None
    assert found.edits == 1


@given(st.text(max_size=30), st.text(max_size=30))
def test_matching_never_fails(query: str, name: str) -> None:
    found = match_name(fold(query), fold(name))
    if found is not None:
        assert 0 <= found.start < found.end <= len(join(fold(name)))
    for start, end in find_highlights(query, name):
        assert 0 <= start < end <= len(name)


@pytest.mark.parametrize(
    ("query", "name", "part"),
    [
        ("thing", "Stranger Things", "Thing"),
        ("amelie", "Le Fabuleux Destin d’Amélie", "Amélie"),
        ("matrx", "The Matrix", "Matrix"),
        ("walle", "WALL·E", "WALL·E"),
        ("ㄱㅣ", "기생충", "기"),
    ],
)
def test_the_part_of_a_name_that_answers_is_highlighted(query: str, name: str, part: str) -> None:
    assert [name[start:end] for start, end in find_highlights(query, name)] == [part]


def document(name: str, popularity: float = 0.0, **more: object) -> NameDocument:
    owner = ids.derive(TitleId, name)
    return NameDocument(owner, "title", name, fold(name), "en", popularity, **more)  # type: ignore[arg-type]


def order(query: str, documents: list[NameDocument]) -> list[str]:
    ranked = rank_names([fold(query)], documents, language="en", popularity={}, affinity={})
    return [each.document.name for each in ranked]


def test_text_comes_first_then_popularity() -> None:
    names = [document("Strays", 0.001), document("Stranger Things", 1.0), document("Street", 0.2)]
    assert order("str", names) == ["Stranger Things", "Street", "Strays"]
    assert order("it", [document("Italian", 1.0), document("It", 0.0)]) == ["It", "Italian"]
    assert order("matrix", [document("Matrox", 1.0), document("The Matrix", 0.0)]) == ["The Matrix", "Matrox"]


def test_newer_popularity_replaces_that_of_the_index() -> None:
    names = [document("Stone", 1.0), document("Storm", 0.1)]
    newer = {ids.derive(TitleId, "Storm"): 1.0, ids.derive(TitleId, "Stone"): 0.1}
    ranked = rank_names(["sto"], names, language="en", popularity=newer, affinity={})
    assert [each.document.name for each in ranked] == ["Storm", "Stone"]


def test_popularity_is_a_share_on_a_logarithmic_scale() -> None:
    assert to_shares({"a": 50.0, "b": 5.0}) == {"a": 1.0, "b": 0.1}
    assert to_shares({}) == {}
    assert [scale_popularity(share) for share in (0.0, 1e-4, 0.01, 1.0)] == pytest.approx([0.0, 0.0, 0.5, 1.0])
    assert decay(8, timedelta(days=28)) == pytest.approx(2)
    assert decay(8, timedelta(days=-1)) == 8


def make_title(name: str, **more: object) -> Title:
    return Title(
        title_id=ids.derive(TitleId, name),
        kind="film",
        original_language="en",
        **{"names": {"en": name}, "rights": [RightsWindow()], "state": "published", **more},  # type: ignore[arg-type]
    )


def test_documents_of_a_title() -> None:
    ana = Person(person_id=ids.derive(PersonId, "ana"), names={"en": "Ana Torres"})
    title = make_title(
        "Dark",
        names={"en": "Dark", "ru": "Тьма", "de": "Dark"},
        year=2017,
        genres=[Genre(genre_id="thriller", names={"en": "Thriller", "de": "Krimi"})],
        credits=[Credit(person=ana, role="cast", character="Martha")],
        episodes=[Episode(episode_id=ids.derive(EpisodeId, "1"), season_number=2, number=3, names={"en": "Ghosts"})],
        audio_languages=["de"],
    )
    *names, about = build_title_documents(title, 0.5)
    assert [(each.kind, each.form) for each in names] == [
        ("title", "dark"),
        ("title", "тьма"),
        ("title", "tma"),
        ("episode", "ghosts"),
    ]
    assert {"dark", "ana", "torres", "martha", "krimi", "2017", "film"} <= set(about.form.split())
    assert (about.people, about.genres) == ((ana.person_id,), ("thriller",))


def test_a_person_is_found_by_those_who_may_find_one_of_the_titles() -> None:
    ana = Person(person_id=ids.derive(PersonId, "ana"), names={"en": "Ana Torres"})
    cast = [Credit(person=ana, role="cast"), Credit(person=ana, role="director")]
    found: dict[PersonId, Credited] = {}
    add_credits(found, make_title("Adult", credits=cast, maturity=18), 0.9)
    add_credits(found, make_title("Child", credits=cast, rights=[RightsWindow(territory="DE")]), 0.1)
    (person,) = build_person_documents(found[ana.person_id])
    assert (sum(count for _, count in person.parts), person.popularity) == (2, 0.9)
    assert person.audience == Audience(0, ("*", "DE"))


def test_rights_windows_apply_when_a_query_is_made() -> None:
    window = RightsWindow(territory="DE", opens_at=NOW, closes_at=NOW + timedelta(days=1))
    audience = build_title_documents(make_title("Dark", rights=[window], maturity=12), 0.0)[0].audience
    assert audience.includes("DE", 12, NOW)
    assert not audience.includes("DE", 11, NOW)
    assert not audience.includes("FR", 18, NOW)
    assert not audience.includes("DE", 18, NOW - timedelta(seconds=1))
    assert not audience.includes("DE", 18, NOW + timedelta(days=1))


def test_affinity_is_bounded_and_grows_with_the_plays() -> None:
    once, often = add_plays({}, [["drama", "crime"]]), add_plays({}, [["drama"]] * 30 + [["crime"]])
    assert once == {"drama": 0.5, "crime": 0.5}
    assert 0 < measure(once, ["drama"]) < 0.5 < measure(often, ["drama"]) < 1
    assert measure(often, ["crime"]) < 0.1
    assert measure(often, ["drama", "comedy"]) == pytest.approx(measure(often, ["drama"]) / 2)
    assert (measure({}, ["drama"]), measure(often, [])) == (0.0, 0.0)


def test_affinity_orders_names_that_match_alike_and_nothing_else() -> None:
    names = [
        NameDocument("tit_1", "title", "Storm", "storm", "en", 0.02, genres=("drama",)),
        NameDocument("tit_2", "title", "Stones", "stones", "en", 0.01, genres=("crime",)),
    ]
    crime = add_plays({}, [["crime"]] * 30)

    def rank(query: str, affinity: dict[str, float]) -> list[str]:
        ranked = rank_names([query], names, language="en", popularity={}, affinity=affinity)
        return [each.document.name for each in ranked]

    assert (rank("sto", {}), rank("sto", crime)) == (["Storm", "Stones"], ["Stones", "Storm"])
    assert rank("stor", crime)[0] == "Storm"


@pytest.mark.parametrize(
    ("query", "typed", "joined"), [("la sa", "la salsa", "las armas"), ("sa lu", "la sa luna", "la salud")]
)
def test_words_as_they_were_typed_come_before_joined_ones(query: str, typed: str, joined: str) -> None:
    first, second = match_name(query, typed), match_name(query, joined)
    assert first
    assert second
    assert first.score > second.score
