"""Words that say what is searched for, and are seldom part of its name: `watch inception online`."""

from __future__ import annotations

import re

_UNSPACED = re.compile(r"[\u3040-\u30ff\u3131-\u318e\u3400-\u9fff]")
_FILLERS = (
    "movie movies film films series show tv watch online full free stream by starring",
    "filme serie serien ansehen schauen von mit",
    "regarder voir gratuit complet avec",
    "pelicula peliculas ver completa gratis con",
    "filmi filmler filmleri dizi dizisi dizileri izle",
    "фильм фильмы сериал смотреть онлайн",
    "映画 どらま あにめ",
    "ㅇㅕㅇㅎㅗㅏ ㄷㅡㄹㅏㅁㅏ",
    "电影 電影 电视剧 電視劇",
    "فيلم افلام مسلسل مشاهده",
)
_WORDS = frozenset(" ".join(_FILLERS).split())
# What is written without a space after other words: `韓国映画`.
_ENDINGS = tuple(word for word in _WORDS if _UNSPACED.match(word))
_LETTERS = 2


def drop_fillers(folded: str) -> str:
    """Return a folded query without such words; "" if there is no other, or none of them."""
    words = folded.split()
    kept = [_drop_ending(word) for word in words if word not in _WORDS]
    return " ".join(kept) if kept != words else ""


def _drop_ending(word: str) -> str:
    if word.isascii():
        return word
    ending = next((each for each in _ENDINGS if word.endswith(each) and len(word) >= len(each) + _LETTERS), "")
    return word.removesuffix(ending)
