"""Queries with errors. A query is left out if its text is nearer to another name than to the one that was meant."""

from __future__ import annotations

from random import Random

from rapidfuzz.distance import OSA

from matinee.lab.catalogue.names import lower
from matinee.lab.search.evaluation import JudgedQuery
from matinee.lab.search.index import Grades, NameIndex
from matinee.lab.search.keys import fold, is_alphabetic, make_key
from matinee.lab.search.spelling import misspell, respell
from matinee.lab.search.title_queries import build, draw_name, get_language

# With more other names that are just as near, a query does not say what is meant.
_MOST_RIVALS = 3
_PREFIX_LENGTH = 8


def make_misspelled_once(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query with one edit in a name of at least 4 letters."""
    return _make_misspelled(index, rng, "one-typo", edits=1, least=4)


def make_misspelled_twice(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query with two edits in a name of at least 8 letters."""
    return _make_misspelled(index, rng, "two-typos", edits=2, least=8)


def make_phonetic(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query in which sounds are spelled in another way."""
    tag, name = draw_name(index.draw(rng), rng)
    typed = lower(name, tag)
    text = respell(typed, get_language(tag), rng)
    key = make_key(name)
    if len(key) < 5 or OSA.distance(make_key(text), key) > max(2, len(key) // 4):
        return None
    return _judge(index, text, name, tag, "phonetic")


def make_misspelled_prefix(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query of the first 8 letters of a name or of a word in it, with one edit."""
    tag, name = draw_name(index.draw(rng), rng)
    words = fold(name).split(" ")
    first = rng.randrange(len(words)) if rng.random() < 0.2 else 0
    prefix = " ".join(words[first:])[:_PREFIX_LENGTH]
    if not prefix.isascii() or len(prefix) < _PREFIX_LENGTH or prefix.endswith(" ") or prefix.isdigit():
        return None
    text = misspell(prefix, tag, rng)
    if text == prefix or index.find_prefix(text):
        return None
    rivals = [rival for rival in index.find_near_prefixes(text) if rival != prefix]
    if len(rivals) > _MOST_RIVALS:
        return None
    grades: Grades = {}
    for rival in rivals:
        grades |= dict.fromkeys((title.draft.title_id for title in index.find_prefix(rival)[:10]), 1)
    return build(
        text, get_language(tag), "prefix-typo", "later-word" if first else "start", grades | index.grade_prefix(prefix)
    )


def _make_misspelled(index: NameIndex, rng: Random, query_class: str, *, edits: int, least: int) -> JudgedQuery | None:
    tag, name = draw_name(index.draw(rng), rng)
    if len(make_key(name)) < least:
        return None
    text = misspell(lower(name, tag), get_language(tag), rng, edits)
    if OSA.distance(make_key(text), make_key(name)) != edits:
        return None
    return _judge(index, text, name, tag, query_class)


def _judge(index: NameIndex, text: str, name: str, tag: str, query_class: str) -> JudgedQuery | None:
    """Grade a misspelled name; None if another name is nearer to it, or several are as near."""
    key, meant = make_key(text), make_key(name)
    if not is_alphabetic(name) or key == meant or key in index.by_key:
        return None
    own = OSA.distance(key, meant)
    near = index.find_near_keys(key, own)
    rivals = [rival for rival in near if rival != meant]
    if len(rivals) > _MOST_RIVALS or any(near[rival] < own for rival in rivals):
        return None
    grades: Grades = {}
    for rival in rivals:
        grades |= dict.fromkeys(index.by_key[rival], 1)
    return build(text, get_language(tag), query_class, get_language(tag), grades | index.grade(name))
