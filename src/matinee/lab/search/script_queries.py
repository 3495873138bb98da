"""Queries in another script than the name, on another keyboard layout, and in another language than the original."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from matinee.lab.catalogue import GeneratedTitle
from matinee.lab.catalogue.names import lower
from matinee.lab.catalogue.scripts import (
    romanise_cyrillic,
    to_full_width,
    to_half_width,
    to_hiragana,
    to_katakana,
    to_pinyin,
    to_romaji,
    to_simplified,
    to_traditional,
)
from matinee.lab.search.evaluation import JudgedQuery
from matinee.lab.search.index import Grades, NameIndex
from matinee.lab.search.keyboards import (
    spell_jamo,
    type_english_on_russian,
    type_korean_on_english,
    type_russian_on_english,
)
from matinee.lab.search.keys import fold, make_key
from matinee.lab.search.title_queries import build, get_language, retry

_HAN = re.compile("[一-鿿]")
_KATAKANA = re.compile("[ァ-ヺ]{3}")
_HANGUL = re.compile("^[가-힣 ]{2,}$")
_CYRILLIC = re.compile("^[а-яё ]{4,}$", re.IGNORECASE)
_LATIN = re.compile("^[a-z ]{4,}$", re.IGNORECASE)

# The text of a query and its grades; None where a title has no suitable name.
_Made: TypeAlias = tuple[str, Grades] | None


def make_cross_script(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query in another script or system of spelling than the name."""
    pattern = rng.choice(list(_PATTERNS))
    return retry(lambda: _make_pattern(index, rng, pattern))


def _make_pattern(index: NameIndex, rng: Random, pattern: str) -> JudgedQuery | None:
    made = _PATTERNS[pattern](index, index.draw(rng), rng)
    if made is None or len(make_key(made[0])) < 2:
        return None
    language = pattern.partition("-")[0]
    return build(made[0], language, "cross-script", pattern, made[1])


def make_wrong_layout(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query that was typed while another keyboard layout was active."""
    tag, pattern = rng.choice((("ru", "russian-on-english"), ("en", "english-on-russian"), ("ko", "korean-on-english")))
    return retry(lambda: _make_layout(index, rng, tag, pattern))


def _make_layout(index: NameIndex, rng: Random, tag: str, pattern: str) -> JudgedQuery | None:
    names = index.draw(rng).draft.names
    name = names.get(tag, "")
    suitable = {"ru": _CYRILLIC, "en": _LATIN, "ko": _HANGUL}[tag]
    if not suitable.match(name) or len(name) < 3:
        return None
    change = {"ru": type_russian_on_english, "en": type_english_on_russian, "ko": type_korean_on_english}[tag]
    # A viewer who has the Russian layout reads Russian.
    return build(change(name), "ru" if tag == "en" else tag, "wrong-layout", pattern, index.grade(name))


def make_dubbed(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query in the language of a dubbed version: the name of a foreign title in this language."""
    title = index.draw(rng)
    draft = title.draft
    tags = [tag for tag in draft.names if tag != draft.original_language and get_language(tag) in title.audio_languages]
    tags = [tag for tag in tags if get_language(tag) != get_language(draft.original_language) and tag != "en"]
    if not tags:
        return None
    tag = "ja" if "ja" in tags and rng.random() < 0.6 else rng.choice(tags)
    name = draft.names[tag]
    return build(lower(name, tag), get_language(tag), "dubbed-language", tag, index.grade(name))


def _write_kana(index: NameIndex, title: GeneratedTitle, change: Callable[[str], str]) -> _Made:
    if not _HAN.search(title.draft.names.get("ja", "")):
        return None
    return change(_separate(title.reading)), _grade_reading(index, title)


def _write_romaji(index: NameIndex, title: GeneratedTitle, change: Callable[[str], str]) -> _Made:
    if not title.reading:
        return None
    text = change(_separate(title.reading))
    if not text.isascii():
        return None
    found = index.by_romaji.get(make_key(text), [])
    return text, dict.fromkeys(found, 3) | _grade_reading(index, title) | index.grade(text)


def _grade_reading(index: NameIndex, title: GeneratedTitle) -> Grades:
    """Grade the titles whose name sounds the same."""
    found = index.by_reading[make_key(title.reading)]
    return dict.fromkeys(found, 3) | index.grade(title.draft.names["ja"])


def _separate(reading: str) -> str:
    return " ".join("".join(letter if letter.isalnum() or letter == "ー" else " " for letter in reading).split())


def _write_katakana_name(index: NameIndex, title: GeneratedTitle, change: Callable[[str], str]) -> _Made:
    name = title.draft.names.get("ja", "")
    if not _KATAKANA.search(name):
        return None
    text = change(name)
    return (text, _grade_reading(index, title)) if text != name else None


def _write_full_width(index: NameIndex, title: GeneratedTitle) -> _Made:
    name = title.draft.names.get("en", "")
    return (to_full_width(lower(name, "en")), index.grade(name)) if _LATIN.match(name) else None


def _write_chinese(index: NameIndex, title: GeneratedTitle, change: Callable[[str], str]) -> _Made:
    names = title.draft.names
    name = names.get("zh") or names.get("zh-Hant", "")
    text = change(name)
    if not name or text == name:
        return None
    found = index.by_simplified.get(make_key(to_simplified(name)), [])
    return text, dict.fromkeys(found, 3) | index.grade(name)


def _write_pinyin(index: NameIndex, title: GeneratedTitle, separator: str) -> _Made:
    names = title.draft.names
    name = names.get("zh") or names.get("zh-Hant", "")
    if not re.fullmatch("[一-鿿]{2,}", name):
        return None
    text = separator.join(to_pinyin(name))
    found = index.by_pinyin.get(make_key(text), [])
    return text, dict.fromkeys(found, 3) | index.grade(text)


def _write_latin_russian(index: NameIndex, title: GeneratedTitle) -> _Made:
    name = title.draft.names.get("ru", "")
    if not _CYRILLIC.match(name):
        return None
    text = romanise_cyrillic(name).lower()
    found = index.by_latin_russian.get(make_key(text), [])
    return text, dict.fromkeys(found, 3) | index.grade(text)


def _type_korean(index: NameIndex, title: GeneratedTitle, rng: Random) -> _Made:
    """Type a Korean name as far as an unfinished syllable, as input methods show it."""
    name = fold(title.draft.names.get("ko", ""))
    if not _HANGUL.match(name) or len(name) < 3:
        return None
    length = rng.randint(2, min(4, len(name) - 1))
    whole, last = name[: length - 1], name[length - 1]
    if last == " " or whole[-1] == " ":
        return None
    index_of_last = ord(last) - 0xAC00
    if rng.random() < 0.5:
        text = whole + chr(0xAC00 + index_of_last // 28 * 28)
    else:
        # The first consonant of the next syllable appears as the last one of this syllable.
        text = whole[:-1] + _close_syllable(whole[-1], last)
    return (text, index.grade_prefix(spell_jamo(text), jamo=True)) if text else None


def _close_syllable(syllable: str, after: str) -> str:
    initial = unicodedata.normalize("NFD", after)[0]
    final = {"ᄀ": "ᆨ", "ᄂ": "ᆫ", "ᄃ": "ᆮ", "ᄅ": "ᆯ", "ᄆ": "ᆷ", "ᄇ": "ᆸ", "ᄉ": "ᆺ", "ᄋ": "ᆼ", "ᄌ": "ᆽ"}.get(initial)
    open_syllable = len(unicodedata.normalize("NFD", syllable)) == 2
    return unicodedata.normalize("NFC", syllable + final) if final and open_syllable else syllable


_Pattern: TypeAlias = Callable[[NameIndex, GeneratedTitle, Random], _Made]
_PATTERNS: Final[dict[str, _Pattern]] = {
    "ja-hiragana": lambda index, title, rng: _write_kana(index, title, to_hiragana),
    "ja-katakana": lambda index, title, rng: _write_kana(index, title, to_katakana),
    "ja-hepburn": lambda index, title, rng: _write_romaji(index, title, lambda kana: to_romaji(kana, "hepburn")),
    "ja-kunrei": lambda index, title, rng: _write_romaji(index, title, lambda kana: to_romaji(kana, "kunrei")),
    "ja-wapuro": lambda index, title, rng: _write_romaji(index, title, lambda kana: to_romaji(kana, "wapuro")),
    "ja-half-width": lambda index, title, rng: _write_katakana_name(index, title, to_half_width),
    "ja-kana-swapped": lambda index, title, rng: _write_katakana_name(index, title, to_hiragana),
    "ja-full-width": lambda index, title, rng: _write_full_width(index, title),
    "zh-simplified": lambda index, title, rng: _write_chinese(index, title, to_simplified),
    "zh-traditional": lambda index, title, rng: _write_chinese(index, title, to_traditional),
    "zh-pinyin": lambda index, title, rng: _write_pinyin(index, title, " "),
    "zh-pinyin-joined": lambda index, title, rng: _write_pinyin(index, title, ""),
    "ru-latin": lambda index, title, rng: _write_latin_russian(index, title),
    "ko-typing": _type_korean,
}
