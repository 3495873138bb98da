"""Names of titles, episodes and characters, formed of words of real languages."""

from __future__ import annotations

import functools
import re
from itertools import accumulate
from random import Random
from typing import Final

from matinee.lab.catalogue.forms import LANGUAGES, parse_forms
from matinee.lab.catalogue.lexicon import list_person_names, list_words

_LOOK_ALIKES: Final = {"e": "3", "s": "5", "t": "7", "o": "0", "i": "1"}
_ELISION = re.compile(r"\b([Ll])[ea] (?=[aeiouhàâéèêëîïôœ])|\b([Dd])e (?=[aeiouhàâéèêëîïôœ])", re.IGNORECASE)
_COMPOUND_LINKS: Final = ("", "", "s", "n")


class Composer:
    """Forms names in one language."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._language = LANGUAGES[tag]
        self._forms, weights = parse_forms(self._language)
        self._weights = list(accumulate(weights))
        self._words = list_words(tag)
        self._people = list_person_names(tag)

    def compose(self, rng: Random, *, words_at_most: int = 9) -> str:
        """Form a name."""
        while True:
            (form,) = rng.choices(self._forms, cum_weights=self._weights)
            if sum(part == "{w}" for part in form) <= words_at_most:
                break
        return self._finish("".join(self._fill(part, rng) for part in form))

    def compose_episode(self, rng: Random) -> str:
        """Form the name of an episode: short, and seldom with symbols."""
        return self.compose(rng, words_at_most=2)

    def compose_character(self, rng: Random) -> str:
        """Form the name of a character: a first name, sometimes with a surname."""
        first = rng.choice(self._people.first)[0]
        return f"{first} {rng.choice(self._people.last)[0]}" if rng.random() < 0.4 else first

    def draw_word(self, rng: Random) -> str:
        """Draw a word, frequent ones more often."""
        return self._words[int(len(self._words) * rng.random() ** 1.5)]

    def _fill(self, part: str, rng: Random) -> str:
        match part:
            case "{w}":
                return self._capitalise(self.draw_word(rng))
            case "{c}":
                return self._capitalise(self._join_compound(rng))
            case "{f}":
                return rng.choice(self._people.first)[0]
            case "{l}":
                return rng.choice(self._people.last)[0]
            case "{n}":
                return str(rng.choice((2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 12, 13, 21, 40, 47, 99, 100)))
            case "{y}":
                return str(rng.randint(1900, 2049))
            case "{s}":
                return self._make_symbol(rng)
            case literal:
                return literal

    def _finish(self, name: str) -> str:
        if self._tag == "fr":
            name = _ELISION.sub(lambda match: f"{match[1] or match[2]}'", name)
        if self._language.style == "sentence":
            first = next((n for n, letter in enumerate(name) if letter.isalpha()), 0)
            name = name[:first] + capitalise(name[first:], self._tag)
        return name

    def _capitalise(self, word: str) -> str:
        return capitalise(word, self._tag) if self._language.style == "title" else word

    def _join_compound(self, rng: Random) -> str:
        return self.draw_word(rng)[:9] + rng.choice(_COMPOUND_LINKS) + self.draw_word(rng)

    def _make_symbol(self, rng: Random) -> str:
        word = self.draw_word(rng)
        title = capitalise(word, self._tag)
        match rng.choice(self._language.symbols):
            case "stars":
                return "*".join(word[:5].upper())
            case "dots":
                return "".join(f"{letter}." for letter in word[:5].upper())
            case "point":
                return f"{word[:5].upper()}·{word[0].upper()}"
            case "brackets":
                return f"[{word[:6].upper()}]"
            case "slash":
                return f"{title}/{capitalise(self.draw_word(rng), self._tag)}"
            case "plus":
                return f"{title}+{rng.randint(1, 12)}"
            case "money":
                return f"${rng.randint(1, 99)}.{rng.choice((50, 95, 99))} {title}"
            case "bang":
                return f"{title}!!"
            case "percent":
                return f"{rng.randint(2, 99)}% {title}"
            case "leet":
                return _replace_first(title)
            case "dot-com":
                return f"{title}.com"
            case _:
                return f"#{title}"


@functools.cache
def get_composer(language: str) -> Composer:
    """Return the composer of a language, whose words are loaded once."""
    return Composer(language)


def capitalise(word: str, language: str) -> str:
    """Return a word with a capital first letter; in Turkish that of `i` has a dot."""
    first = "İ" if language == "tr" and word[0] == "i" else word[0].upper()
    return first + word[1:]


def lower(text: str, language: str) -> str:
    """Return a text in lower case; in Turkish that of `I` has no dot."""
    if language == "tr":
        text = text.replace("I", "ı").replace("İ", "i")
    return text.lower()


def _replace_first(word: str) -> str:
    """Replace the first letter after the initial that resembles a digit."""
    for n, letter in enumerate(word[1:], 1):
        if letter in _LOOK_ALIKES:
            return word[:n] + _LOOK_ALIKES[letter] + word[n + 1 :]
    return f"{word}2"
