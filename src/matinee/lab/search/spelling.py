"""Misspellings by real patterns: neighbouring keys, omitted, doubled and swapped letters, vowels, sounds."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import msgspec

from matinee.lab.search.keyboards import find_neighbours

_PATH = Path(__file__).parents[1] / "data" / "search_spelling.toml"
_FIRST_LETTER = 0.06
# The least letters of a word that has one edit, and of one that has two.
_ONE_EDIT, _TWO_EDITS = 3, 8
_EDITS: Final = ("neighbour", "omit", "double", "swap", "vowel", "insert")
_EDIT_WEIGHTS: Final = (26, 20, 12, 20, 14, 8)


class _Spelling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    articles: dict[str, list[str]]
    fillers: dict[str, list[str]]
    phonetic: dict[str, list[tuple[str, str]]]
    vowels: dict[str, str]


_SPELLING = msgspec.toml.decode(_PATH.read_bytes(), type=_Spelling)
ARTICLES: Final = _SPELLING.articles
FILLERS: Final = _SPELLING.fillers


def misspell(text: str, language: str, rng: Random, edits: int = 1) -> str:
    """Return a text with a number of edits, or fewer where a drawn edit does not apply.

    Long words are drawn more often. A word of less than 8 letters has at most one edit, except if it is the only one.
    """
    words = text.split(" ")
    weights = [sum(map(str.isalpha, word)) for word in words]
    for _ in range(edits):
        weights = [weight if weight >= _ONE_EDIT else 0 for weight in weights]
        if not any(weights):
            break
        (n,) = rng.choices(range(len(words)), weights)
        words[n] = _misspell_word(words[n], language, rng)
        if weights[n] < _TWO_EDITS and len(words) > 1:
            weights[n] = 0
    return " ".join(words)


def _misspell_word(text: str, language: str, rng: Random) -> str:
    letters = [n for n, letter in enumerate(text) if letter.isalpha()]
    n = letters[0] if rng.random() < _FIRST_LETTER else rng.choice(letters[1:])
    (edit,) = rng.choices(_EDITS, _EDIT_WEIGHTS)
    return _apply(edit, text, n, language, rng)


def _apply(edit: str, text: str, n: int, language: str, rng: Random) -> str:
    before, letter, after = text[:n], text[n], text[n + 1 :]
    match edit:
        case "neighbour":
            near = find_neighbours(letter, language)
            return before + rng.choice(near) + after if near else text
        case "omit":
            return before + after
        case "double":
            # Of a doubled letter one is omitted.
            return before + after if after[:1] == letter else before + letter + letter + after
        case "swap":
            return before + after[0] + letter + after[1:] if after and after[0].isalpha() else text
        case "vowel":
            return before + rng.choice(_SPELLING.vowels[letter]) + after if letter in _SPELLING.vowels else text
        case _:
            near = find_neighbours(letter, language)
            return before + letter + rng.choice(near) + after if near else text


def respell(text: str, language: str, rng: Random) -> str:
    """Return a text with one or two of its spellings replaced by others of the same sound."""
    rules = [rule for rule in _SPELLING.phonetic.get(language, []) if rule[0] in f" {text}"]
    for written, typed in rng.sample(rules, min(len(rules), 1 + (rng.random() < 0.4))):
        places = [n for n in range(len(text) + 1) if f" {text}".startswith(written, n)]
        if places:
            n = rng.choice(places)
            text = (f" {text}"[:n] + typed + f" {text}"[n + len(written) :])[1:]
    return text.strip()


def drop_article(text: str, language: str) -> str:
    """Return a text in lower case without the article at its start."""
    for article in ARTICLES.get(language, ()):
        start = article if article.endswith("'") else f"{article} "
        if text.startswith(start) and len(text) > len(start) + 2:
            return text[len(start) :]
    return text


def drop_fillers(text: str, language: str) -> str:
    """Return a text in lower case without articles and short connecting words."""
    fillers = FILLERS.get(language, [])
    return " ".join(word for word in text.split() if word not in fillers)
