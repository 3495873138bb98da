"""Numbers and abbreviations in names: `Rocky II`, `Rocky 2` and `Rocky Two` are one name, as are `Dr.` and `Doctor`."""

from __future__ import annotations

_ROMAN_ONES = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"]
# Single letters are words of many names: as numbers they count at the end only.
_LETTERS = frozenset({"v", "x"})
_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve",
    "eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf",
    "un deux trois quatre cinq six sept huit neuf dix onze douze",
    "uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
    "bir iki uc dort bes alti yedi sekiz dokuz on onbir oniki",
    "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать",
    "一 二 三 四 五 六 七 八 九 十",
    "ㅎㅏㄴㅏ ㄷㅜㄹ ㅅㅔㅅ ㄴㅔㅅ ㄷㅏㅅㅓㅅ ㅇㅕㅅㅓㅅ ㅇㅣㄹㄱㅗㅂ ㅇㅕㄷㅓㄹ ㅇㅏㅎㅗㅂ ㅇㅕㄹ",
    "واحد اثنان ثلاثه اربعه خمسه سته سبعه ثمانيه تسعه عشره",
)
_NUMBERS = {word: str(number) for words in _WORDS for number, word in enumerate(words.split(), 1)}
_ROMAN_NUMBERS = {"x" * (number // 10) + _ROMAN_ONES[number % 10]: str(number) for number in range(2, 40)}
_ABBREVIATIONS = {
    "doctor": "dr",
    "mister": "mr",
    "missus": "mrs",
    "versus": "vs",
    "volume": "vol",
    "part": "pt",
    "teil": "pt",
    "partie": "pt",
    "parte": "pt",
    "saint": "st",
    "sankt": "st",
    "number": "no",
}


def write_digits(folded: str) -> str:
    """Return a folded text with its numbers as digits and its titles of people and parts abbreviated."""
    words = folded.split()
    return " ".join(_to_digits(word, is_last=place == len(words) and place > 1) for place, word in enumerate(words, 1))


def _to_digits(word: str, *, is_last: bool) -> str:
    if word in _ROMAN_NUMBERS and (is_last or word not in _LETTERS):
        return _ROMAN_NUMBERS[word]
    return _NUMBERS.get(word) or _ABBREVIATIONS.get(word, word)
