"""Names in another script: kana, several systems of romaji, pinyin, and Latin letters for Cyrillic and Hangul."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any, Final, Literal, TypeAlias

Romaji: TypeAlias = Literal["hepburn", "kunrei", "wapuro"]

_VOWELS = "aiueo"
_ROWS: Final = {
    "": "あいうえお",
    "k": "かきくけこ",
    "s": "さしすせそ",
    "t": "たちつてと",
    "n": "なにぬねの",
    "h": "はひふへほ",
    "m": "まみむめも",
    "y": "や ゆ よ",
    "r": "らりるれろ",
    "w": "わゐ ゑ ",
    "g": "がぎぐげご",
    "z": "ざじずぜぞ",
    "d": "だぢづでど",
    "b": "ばびぶべぼ",
    "p": "ぱぴぷぺぽ",
}
_KUNREI: Final = {
    kana: row + vowel
    for row, letters in _ROWS.items()
    for kana, vowel in zip(letters, _VOWELS, strict=True)
    if kana != " "
} | {"を": "o", "ん": "n", "ゔ": "vu", "ぢ": "zi", "づ": "zu"}
_HEPBURN: Final = _KUNREI | {"し": "shi", "ち": "chi", "つ": "tsu", "ふ": "fu", "じ": "ji", "ぢ": "ji"}
# Those with `y` come first: しゅ, not しぅ, is the usual kana of `shu`.
_SMALL: Final = {"ゃ": "ya", "ゅ": "yu", "ょ": "yo", "ゎ": "wa", "ぁ": "a", "ぃ": "i", "ぅ": "u", "ぇ": "e", "ぉ": "o"}
_KATAKANA = re.compile("[ァ-ヶ]")
_HIRAGANA = re.compile("[ぁ-ゖ]")
_HALF_WIDTH: Final = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF61, 0xFF9E)}
_HALF_WIDTH_MARKS: Final = {"\u3099": "\uff9e", "\u309a": "\uff9f"}

# Graphemes of English as romaji without the vowels that Japanese adds.
_SOUNDS: Final = {
    "tion": "shon", "sion": "jon", "ture": "chaa", "ight": "aito", "ough": "oo", "augh": "oo", "tch": "cchi",
    "sch": "suk", "igh": "ai", "eau": "oo", "sh": "sh", "ch": "ch", "ph": "f", "th": "s", "ck": "kk", "wh": "w",
    "qu": "kw", "kn": "n", "wr": "r", "ee": "ii", "ea": "ii", "oo": "uu", "ou": "au", "ow": "ou", "oa": "oo",
    "ai": "ei", "ay": "ei", "ey": "ii", "oy": "oi", "ie": "ii", "ew": "yuu", "aw": "oo", "au": "oo", "er": "aa",
    "or": "oo", "ar": "aa", "ir": "aa", "ur": "aa", "mm": "m",
    "nn": "n", "ll": "r", "rr": "r", "ng": "ng", "ce": "se", "ci": "shi", "cy": "shi", "c": "k",
    "x": "kkus", "l": "r", "q": "k", "y": "i",
}  # fmt: skip
_WORDS: Final = {
    "the": "ザ",
    "of": "オブ",
    "and": "アンド",
    "in": "イン",
    "a": "ア",
    "who": "フー",
    "my": "マイ",
    "no": "ノー",
}
# A vowel and `r` before a vowel are two sounds, and `h` after a vowel has none.
_SOUND = re.compile(
    r"[eoaiu]r(?![aeiouy])|"
    + "|".join(sorted((s for s in _SOUNDS if not re.fullmatch("[eoaiu]r", s)), key=len, reverse=True))
    + "|."
)
_SYLLABLE = re.compile(r"(?:ch|sh|ts|[bcdfghjkmnprstvwyz])?y?[aiueo]|ch|sh|ts|.")
_CYRILLIC: Final = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch _ y _ e yu ya".replace("_", "").split(" "),
        strict=True,
    )
)
_INITIALS: Final = "g kk n d tt r m b pp s ss _ j jj ch k t p h".replace("_", "").split(" ")
_MEDIALS: Final = "a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i".replace("_", "").split(" ")
_FINALS: Final = "_ k k k n n n t l k m l l l p l m p p t t ng t t k t p t".replace("_", "").split(" ")


@functools.cache
def _get_reader() -> Any:
    import pykakasi

    kakasi: Any = pykakasi.kakasi  # not typed
    return kakasi()


def read_japanese(text: str) -> str:
    """Return the reading of a Japanese text in hiragana."""
    return "".join(str(part["hira"]) for part in _get_reader().convert(text))


def to_hiragana(text: str) -> str:
    """Replace katakana by hiragana."""
    return _KATAKANA.sub(lambda match: chr(ord(match[0]) - 0x60), text)


def to_katakana(text: str) -> str:
    """Replace hiragana by katakana."""
    return _HIRAGANA.sub(lambda match: chr(ord(match[0]) + 0x60), text)


def to_half_width(text: str) -> str:
    """Replace katakana by its half-width forms."""
    letters = []
    for letter in text:
        parts = unicodedata.normalize("NFD", letter)
        half, marks = _HALF_WIDTH.get(parts[0]), parts[1:]
        letters.append(half + "".join(_HALF_WIDTH_MARKS.get(mark, mark) for mark in marks) if half else letter)
    return "".join(letters)


def to_full_width(text: str) -> str:
    """Replace ASCII letters and digits by their full-width forms."""
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def to_romaji(kana: str, system: Romaji = "hepburn") -> str:
    """Write kana in Latin letters.

    Hepburn (`shi`) and Kunrei (`si`) are written without marks of long vowels; `wapuro` is what one types.
    """
    table = _KUNREI if system == "kunrei" else _HEPBURN
    if system == "wapuro":
        table = table | {"を": "wo"}
    out: list[str] = []
    double = False
    for letter in to_hiragana(kana):
        if letter == "っ":
            double = True
            continue
        if letter == "ー":
            out.append("".join(out)[-1:] if system == "wapuro" else "")
            continue
        if (small := _SMALL.get(letter)) and out and out[-1]:
            out[-1] = _contract(out[-1], small)
            continue
        sound = table.get(letter, small or letter)
        if double and sound[0].isalpha() and sound[0].isascii():
            sound = ("t" if sound.startswith("ch") else sound[0]) + sound
        double = False
        out.append(sound)
    text = "".join(out)
    return text if system == "wapuro" else _shorten(text)


def _contract(sound: str, small: str) -> str:
    """Join a syllable and the small kana after it: `ki` and `ya` are `kya`, `fu` and `a` are `fa`."""
    stem = {"u": "w", "hu": "f"}.get(sound, sound[:-1]) if small in _VOWELS else sound[:-1]
    if stem.endswith(("sh", "ch", "j")):
        return stem + small.removeprefix("y")
    return stem + small


def _shorten(text: str) -> str:
    return re.sub(r"ou|oo", "o", text).replace("uu", "u").replace("aa", "a").replace("ee", "e")


@functools.cache
def _get_kana() -> dict[str, str]:
    """Return the katakana of each syllable in Hepburn romaji."""
    kana = {sound: to_katakana(letter) for letter, sound in _HEPBURN.items() if letter not in "をぢづゐゑ"}
    for small, end in _SMALL.items():
        for letter, sound in _HEPBURN.items():
            if sound[-1] in _VOWELS and len(sound) > 1:
                kana.setdefault(_contract(sound, end), to_katakana(letter + small))
    kana |= {"wi": "ウィ", "we": "ウェ", "wo": "ウォ", "ti": "ティ", "di": "ディ", "tu": "トゥ", "du": "ドゥ"}
    return kana | {"fa": "ファ", "fi": "フィ", "fe": "フェ", "fo": "フォ", "je": "ジェ", "she": "シェ", "che": "チェ"}


def to_katakana_word(word: str) -> str:
    """Write an English word in katakana by the usual spelling rules; an approximation."""
    word = unicodedata.normalize("NFKD", word.lower()).encode("ascii", "ignore").decode()
    if word in _WORDS:
        return _WORDS[word]
    word = re.sub(r"(?<=[aeiou])h(?![aeiou])", "", word)
    if len(word) > 3 and word[-1] == "e" and word[-2] not in _VOWELS:
        word = word[:-1]
    sounds = "".join(_SOUNDS.get(sound, sound) for sound in _SOUND.findall(word))
    kana = _get_kana()
    out: list[str] = []
    parts = _SYLLABLE.findall(sounds)
    for n, part in enumerate(parts):
        after = parts[n + 1] if n + 1 < len(parts) else ""
        if part in kana and not (part in _VOWELS and out and _ends_in(out[-1], part)):
            out.append(kana[part])
        elif part in _VOWELS:
            out.append("ー")
        elif after and part[0] == after[0] and part not in "nm":
            out.append("ッ")
        else:
            out.append(_close(part, after))
    return "".join(out)


def _ends_in(kana: str, vowel: str) -> bool:
    return to_romaji(kana)[-1:] == vowel


def _close(consonant: str, after: str) -> str:
    """Return the kana of a consonant without a vowel after it."""
    if consonant == "n" or (consonant == "m" and after[:1] in ("b", "p")):
        return "ン"
    vowel = {"t": "o", "d": "o", "ch": "i", "j": "i", "sh": "u"}.get(consonant, "u")
    kana = _get_kana()
    return kana.get(consonant + vowel, kana.get({"y": "i", "w": "u"}.get(consonant, ""), ""))


def to_katakana_name(name: str) -> str:
    """Write an English name in katakana, its words separated by a middle dot; "" if it has other characters."""
    words = re.findall(r"[A-Za-z]+", name.replace("'", ""))
    if not words or re.search(r"[^A-Za-z' ]", name):
        return ""
    return "・".join(to_katakana_word(word) for word in words)


def romanise_cyrillic(text: str) -> str:
    """Write Russian in Latin letters."""
    return "".join(
        _match_case(_CYRILLIC[letter.lower()], letter) if letter.lower() in _CYRILLIC else letter for letter in text
    )


def _match_case(latin: str, letter: str) -> str:
    return latin.capitalize() if letter.isupper() else latin


def romanise_hangul(text: str) -> str:
    """Write Hangul in Latin letters, syllable by syllable (Revised Romanisation without assimilation)."""
    out = []
    for letter in text:
        index = ord(letter) - 0xAC00
        if 0 <= index < 11_172:
            initial, rest = divmod(index, 588)
            medial, final = divmod(rest, 28)
            out.append(_INITIALS[initial] + _MEDIALS[medial] + _FINALS[final])
        else:
            out.append(letter)
    return "".join(out)


def to_pinyin(text: str) -> list[str]:
    """Return the pinyin syllables of a Chinese text, without tones."""
    from pypinyin import lazy_pinyin

    return [str(syllable) for syllable in lazy_pinyin(text)]


def to_traditional(text: str) -> str:
    """Write a Chinese text in traditional characters."""
    import zhconv

    return str(zhconv.convert(text, "zh-hant"))


def to_simplified(text: str) -> str:
    """Write a Chinese text in simplified characters."""
    import zhconv

    return str(zhconv.convert(text, "zh-hans"))
