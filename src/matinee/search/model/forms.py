"""The forms in which a name is found: its own script, and Latin letters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from anyascii import anyascii
from jellyfish import metaphone

from matinee.search.model import japanese
from matinee.search.model.folding import drop_article, fold, is_latin, join
from matinee.search.model.numerals import write_digits

_SOUND_LETTERS = 4
_ROMAJI_LETTERS = 6
# What follows an article in a query is a name of its own if it has so many letters.
_REST_LETTERS = 3


def list_name_forms(name: str, language: str) -> list[str]:
    """Return the folded forms of a name in a language: its own spelling first, then Latin ones."""
    forms = [fold(name)]
    if not is_latin(forms[0]):
        primary = language.partition("-")[0]
        if primary == "ja" or japanese.has_kana(name):
            forms = [fold(japanese.split_words(name)), *japanese.read_name(name)]
        else:
            if japanese.has_ideograph(name):
                forms.append(fold(simplify(name)))
            latin = transliterate(name)
            forms += [latin] if 2 * len(join(latin)) > len(join(forms[0])) else []
    else:
        forms.append(_write_umlauts(name))
    forms.append(write_digits(forms[0]))
    return [form for form in dict.fromkeys(forms) if form]


def read_query(query: str) -> tuple[str, ...]:
    """Return the folded forms of a query, in the order in which they are preferred."""
    forms = [fold(query)]
    if (key := japanese.make_key(forms[0] if is_latin(forms[0]) else query)) is not None:
        forms.append(key)
    if not is_latin(forms[0]):
        if japanese.has_ideograph(query):
            forms.append(fold(simplify(query)))
        elif key is None:
            forms.append(transliterate(query))
    forms.append(write_digits(forms[0]))
    forms += [rest for form in forms if len(rest := drop_article(form)) >= _REST_LETTERS]
    return tuple(form for form in dict.fromkeys(forms) if form)


@lru_cache(maxsize=4096)
def is_key_of(form: str, query: str) -> bool:
    """Return whether a form is the key of a Latin query that can be Japanese, and not the query itself."""
    return is_latin(query) and form != query and form == japanese.make_key(query)


def can_be_romaji(form: str) -> bool:
    """Return whether a Latin form can be romaji with an error: short forms only as they are.

    Keys of Japanese names are short (太田 is `ota`), and one letter makes any word one of them.
    """
    return len(form) >= _ROMAJI_LETTERS or japanese.is_romaji(form)


def make_sound(form: str) -> str:
    """Return how a Latin form sounds (metaphone, Philips 1990); "" for another form, and for too short a sound."""
    if not form.isascii():
        return ""
    sound = metaphone(join(form)).replace(" ", "")
    return sound if len(sound) >= _SOUND_LETTERS else ""


def simplify(text: str) -> str:
    """Return a Chinese text in simplified characters."""
    from zhconv import convert

    simplified: str = convert(text, "zh-hans")
    return simplified


@lru_cache(maxsize=4096)
def transliterate(text: str) -> str:
    """Return a text in Latin letters, folded."""
    # Apostrophes stand for letters that have no sound.
    return fold(anyascii(_remove_marks(text)).replace("'", ""))


def _remove_marks(text: str) -> str:
    """Remove the optional vowel marks of Hebrew and Arabic, which change a transliteration."""
    return "".join(letter for letter in text if not ("֑" <= letter <= "ׇ" or "ً" <= letter <= "ْ"))


def _write_umlauts(name: str) -> str:
    """Return a name with its umlauts as two letters, as they are typed without a German keyboard."""
    name = unicodedata.normalize("NFC", name).casefold()
    return fold(name.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue"))
