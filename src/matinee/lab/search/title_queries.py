"""Queries for titles: names, prefixes, joined words, numerals, genres."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from babel import Locale

from matinee.lab.catalogue import GENRES, LANGUAGES, GeneratedTitle
from matinee.lab.catalogue.lexicon import list_words
from matinee.lab.catalogue.names import lower
from matinee.lab.search.evaluation import JudgedQuery
from matinee.lab.search.index import Grades, NameIndex
from matinee.lab.search.keys import fold, is_alphabetic, make_key, remove_accents
from matinee.lab.search.spelling import ARTICLES, FILLERS, drop_article, drop_fillers

_GENRE_RANKS: Final = (10, 50, 100)
_SYMBOLS: Final = frozenset("*.·#$%!?+/[]&:-")
_ARABIC_VARIANTS: Final = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ة": "ه", "ى": "ي", "ؤ": "و", "ئ": "ي"})
_ROMAN: Final = ("", "", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_SYLLABLES: Final = ("bla", "fro", "nix", "zu", "kwo", "vel", "dra", "plo", "wem", "gri", "tax", "oof", "yub", "hesk")
# The share of each pattern among the queries without articles, accents, punctuation or symbols.
_PLAIN: Final = {
    "article": 22,
    "fillers": 10,
    "accents": 22,
    "punctuation": 14,
    "symbols": 10,
    "spaces": 6,
    "arabic": 6,
    "extra-article": 10,
}
_TRIES = 80
_MASHED: Final = ("asdf", "jkl", "qwer", "zxcv", "hjkl", "fdsa", "sdfg", "uiop", "bnm", "kjh")


def make_exact(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query that is a name, often in lower case."""
    title = index.draw(rng)
    tag, name = draw_name(title, rng)
    typed = lower(name, tag) if rng.random() < 0.7 else name
    if not make_key(name):
        return None
    language = get_language(tag) if rng.random() < 0.85 else get_language(title.draft.original_language)
    return build(typed, language, "exact", "lower-case" if typed != name else "same", index.grade(name))


def make_prefix(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query of the first letters of a name or of a word in it."""
    tag, name = draw_name(index.draw(rng), rng)
    words = fold(name).split(" ")
    if not is_alphabetic(name):
        prefix = fold(name)[: rng.randint(2, 4)]
        if tag not in ("ja", "ko", "zh", "zh-Hant") or len(prefix) < 2 or len(prefix) == len(fold(name)):
            return None
        pattern = "few-characters"
    else:
        first = rng.randrange(len(words)) if rng.random() < 0.3 else 0
        text = " ".join(words[first:])
        prefix = text[: rng.randint(4, 8)]
        if len(prefix.replace(" ", "")) < 4 or prefix == text or prefix.endswith(" "):
            return None
        pattern = "later-word" if first else "start"
    return build(prefix, get_language(tag), "prefix", pattern, index.grade_prefix(prefix))


def make_joined_or_split(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query with two words joined, or a word split where both parts are words."""
    make = _join_words if rng.random() < 0.6 else _split_name
    return retry(lambda: make(index, rng))


def _join_words(index: NameIndex, rng: Random) -> JudgedQuery | None:
    tag, name = draw_name(index.draw(rng), rng)
    words = lower(name, tag).split()
    if len(words) < 2 or not is_alphabetic(name):
        return None
    at = rng.randrange(len(words) - 1)
    two = " ".join([*words[:at], words[at] + words[at + 1], *words[at + 2 :]])
    typed, pattern = (two, "joined") if rng.random() < 0.6 else ("".join(words), "all-joined")
    return build(typed, get_language(tag), "joined-split", pattern, index.grade(name))


def _split_name(index: NameIndex, rng: Random) -> JudgedQuery | None:
    tag, name = draw_name(index.draw(rng), rng)
    words = lower(name, tag).split()
    at = rng.randrange(len(words))
    parts = _split_word(words[at], get_language(tag), rng) if is_alphabetic(name) else None
    if not parts:
        return None
    typed = " ".join([*words[:at], *parts, *words[at + 1 :]])
    return build(typed, get_language(tag), "joined-split", "split", index.grade(name))


def make_plain(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query without the articles, accents, punctuation or symbols of a name, or with an article too many."""
    (pattern,) = rng.choices(list(_PLAIN), list(_PLAIN.values()))
    return retry(lambda: _make_plain(index, rng, pattern))


def _make_plain(index: NameIndex, rng: Random, pattern: str) -> JudgedQuery | None:
    tag, name = draw_name(index.draw(rng), rng)
    typed = lower(name, tag)
    match pattern:
        case "article":
            changed = drop_article(typed, tag)
        case "fillers":
            changed = drop_fillers(typed, tag)
            if len(make_key(changed)) < 0.6 * len(make_key(typed)):
                return None
        case "accents":
            changed = remove_accents(typed) if is_alphabetic(typed) else typed
        case "punctuation":
            changed = fold(typed) if any(letter in ",':!?-&’" for letter in typed) else typed
        case "symbols":
            changed = fold(typed) if _SYMBOLS.intersection(typed) else typed
        case "spaces":
            changed = "".join(letter if letter.isalnum() else " " for letter in typed).strip()
            changed = " ".join(changed.split()) if _SYMBOLS.intersection(typed) else typed
        case "arabic":
            changed = typed.translate(_ARABIC_VARIANTS)
        case _:
            articles = ARTICLES.get(tag, [])
            bare = drop_article(typed, tag) == typed and is_alphabetic(typed)
            changed = f"{articles[0]} {typed}" if articles and bare else typed
    if changed == typed or len(make_key(changed)) < 3:
        return None
    grades = index.grade(name) | index.grade(changed)
    if pattern in ("article", "fillers", "extra-article"):
        bare_key = make_key(drop_article(changed, tag))
        grades |= dict.fromkeys(index.by_bare_key.get(bare_key, ()), 3)
        if len(grades) > 12:
            return None
    return build(changed, get_language(tag), "article-accent", pattern, grades)


def make_numerals(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query in which a number is written in another way: 2, II, two."""
    tag, name = draw_name(index.draw(rng), rng)
    language = get_language(tag)
    words = name.split(" ")
    found = [(n, number) for n, word in enumerate(words) if (number := _read_number(word.rstrip(":"))) is not None]
    if not found:
        return None
    n, number = rng.choice(found)
    forms = {str(number), _ROMAN[number], LANGUAGES[language].digits[number - 2].lower()}
    typed = rng.choice(sorted(forms - {words[n].rstrip(":")}))
    text = lower(" ".join([*words[:n], typed, *words[n + 1 :]]), tag)
    pattern = "digit" if typed.isdigit() else "roman" if typed in _ROMAN else "word"
    return build(text, language, "numerals", pattern, index.grade(name) | index.grade(text))


def make_genre(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query that is the name of a genre in any language."""
    name = rng.choice(GENRES).names[language := rng.choice(list(LANGUAGES))]
    grades = _grade_genre(index.titles, name, language)
    if not grades:
        return None
    typed = lower(name, language) if rng.random() < 0.7 else name
    return build(typed, language, "genre", "genre", grades | index.grade(name))


def make_language_and_genre(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query of the original language and a genre of a title: `korean thriller`, `koreanischer krimi`."""
    title = rng.choice(index.titles)
    original, language = get_language(title.draft.original_language), rng.choice(list(LANGUAGES))
    name = rng.choice(title.draft.genres).names[language]
    adjective = lower(Locale(language).languages[original], language)
    inflected = f"{adjective}er" if language == "de" and rng.random() < 0.5 else adjective
    titles = [each for each in index.titles if get_language(each.draft.original_language) == original]
    grades = _grade_genre(titles, name, language)
    text = f"{inflected} {lower(name, language)}"
    return build(text, language, "language-genre", "same" if inflected == adjective else "inflected", grades)


def _grade_genre(titles: Iterable[GeneratedTitle], name: str, language: str) -> Grades:
    """Return the grades of the most popular titles of the genres that have a name in a language."""
    meant = {genre.genre_id for genre in GENRES if make_key(genre.names[language]) == make_key(name)}
    found = sorted(
        (title for title in titles if meant.intersection(genre.genre_id for genre in title.draft.genres)),
        key=lambda title: -title.popularity,
    )[: _GENRE_RANKS[-1]]
    return {title.draft.title_id: 3 - sum(n >= rank for rank in _GENRE_RANKS) for n, title in enumerate(found)}


def make_nonsense(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query that is near to no name."""
    if rng.random() < 0.5:
        text, pattern = "".join(rng.choices(_MASHED, k=rng.randint(2, 4))), "mashed"
    else:
        text, pattern = "".join(rng.choices(_SYLLABLES, k=rng.randint(3, 5))), "syllables"
    near = index.find_near_keys(text, 3) | index.find_near_keys(text, 3, people=True)
    if len(text) < 8 or near or index.find_prefix(text[:5]):
        return None
    return build(text, "en", "nonsense", pattern, {})


def retry(make: Callable[[], JudgedQuery | None]) -> JudgedQuery | None:
    """Make a query from one title after another, until one is suitable."""
    return next((query for query in (make() for _ in range(_TRIES)) if query), None)


def draw_name(title: GeneratedTitle, rng: Random) -> tuple[str, str]:
    """Draw a name of a title, with its language tag; the original and the English one more often."""
    names = title.draft.names
    if rng.random() < 0.4:
        tag = rng.choice((title.draft.original_language, "en"))
        if tag in names:
            return tag, names[tag]
    return rng.choice(list(names.items()))


def get_language(tag: str) -> str:
    """Return the language of a tag: `zh` of `zh-Hant`."""
    return tag.partition("-")[0]


def build(text: str, language: str, query_class: str, pattern: str, grades: Grades) -> JudgedQuery:
    """Build a judged query."""
    return JudgedQuery(text=text, language=language, query_class=query_class, pattern=pattern, grades=grades)


def _split_word(word: str, language: str, rng: Random) -> tuple[str, str] | None:
    known = _get_vocabulary(language)
    places = [n for n in range(3, len(word) - 2) if word[:n] in known and word[n:] in known]
    if not places:
        return None
    n = rng.choice(places)
    return word[:n], word[n:]


@functools.cache
def _get_vocabulary(language: str) -> frozenset[str]:
    return frozenset(list_words(language)) - frozenset(FILLERS.get(language, ()))


def _read_number(word: str) -> int | None:
    """Return the number from 2 to 9 that a word of a name is, in digits or in Roman numerals."""
    if word in _ROMAN[2:]:
        return _ROMAN.index(word)
    return int(word) if word.isascii() and word.isdigit() and 2 <= int(word) <= 9 else None
