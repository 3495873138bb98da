"""How well a name answers a query: as it is, as far as it was typed, in other words, or with errors.

Edits are counted as optimal string alignment does, so that a transposition is one (Damerau, 1964).
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

import msgspec
from rapidfuzz.distance import OSA

from matinee.search.api import Match, Span
from matinee.search.model.folding import FORMS, drop_article, fold, has_adjacent_numbers, join, list_rests

_EXACT, _PREFIX, _WORDS, _CORRECTED = 1.2, 0.9, 0.8, 0.7
# A name without its article is nearly the name.
_WITHOUT_ARTICLE = 1.15
# The part of a score that depends on how much of the name was typed.
_COVERAGE = 0.05
_LATER_WORD = 0.02
# The words are those of the query, rather than others with the same letters.
_SAME_SPACES = 0.02
# A whole name with an error, rather than the beginning of one.
_WHOLE = 0.06
_SOUND = 0.55
# A correction counts per edited share of the query.
_PER_EDIT = 0.9


class NameMatch(msgspec.Struct, frozen=True, gc=False):
    """How a form answers a query; `start` and `end` are the part of its joined letters that does."""

    match: Match
    score: float
    start: int
    end: int
    edits: int = 0


def allow_edits(length: int) -> int:
    """Return how many edits are tolerated in a query of so many letters."""
    if length < 4:
        return 0
    if length < 8:
        return 1
    return 2 if length < 16 else 3


def match_name(query: str, form: str) -> NameMatch | None:
    """Return how a folded form answers a folded query, the best way; None if it does not."""
    wanted, letters = join(query), join(form)
    if not wanted or not letters:
        return None
    if wanted == letters:
        return NameMatch("exact", _EXACT, 0, len(letters))
    length = len(wanted)
    coverage = _COVERAGE * min(1.0, length / len(letters))
    if form.startswith(query):
        return NameMatch("prefix", _PREFIX + coverage + _SAME_SPACES, 0, length)
    starts = _list_starts(form)
    for start in starts if wanted in letters else ():
        if letters.startswith(wanted, start):
            if start + length == len(letters) and join(drop_article(form)) == wanted:
                return NameMatch("exact", _WITHOUT_ARTICLE, start, start + length)
            is_first = start == 0
            score = (_PREFIX if is_first else _PREFIX - _LATER_WORD) + coverage
            if form.startswith(query) if is_first else f" {query}" in form:
                score += _SAME_SPACES
            return NameMatch("prefix", score, start, start + length)
    words = query.split()
    if len(words) > 1 and _has_words(words, form.split()):
        return NameMatch("words", _WORDS + coverage, 0, len(letters))
    return _match_with_edits(wanted, form, starts, coverage)


def match_sound(form: str) -> NameMatch:
    """Return how a form answers a query that sounds like it."""
    return NameMatch("corrected", _SOUND, 0, len(join(form)), allow_edits(len(form)))


def _match_with_edits(wanted: str, form: str, starts: tuple[int, ...], coverage: float) -> NameMatch | None:
    letters, length = join(form), len(wanted)
    limit = allow_edits(length)
    if not limit:
        return None
    best: NameMatch | None = None
    for start in starts:
        rest = len(letters) - start
        if rest < length - limit:
            break
        edits, size = _count_edits(wanted, letters, start, limit, (*starts, len(letters)))
        if edits > limit:
            continue
        score = _CORRECTED - _PER_EDIT * edits / length * _CORRECTED + coverage - (_LATER_WORD if start else 0.0)
        if edits and start + size == len(letters) and letters[start:] in {letters, join(drop_article(form))}:
            score += _WHOLE
        if best is None or score > best.score:
            best = NameMatch("corrected", score, start, start + size, edits)
            limit = edits
            if edits <= 1 and start == 0:
                break
    return best


def _count_edits(wanted: str, letters: str, start: int, limit: int, ends: tuple[int, ...]) -> tuple[int, int]:
    """Return the fewest edits between a query and the letters from a start, and how many letters these are.

    Of several sizes with as many edits the one that ends with a word is chosen.
    """
    length, rest = len(wanted), len(letters) - start
    best, best_size = limit + 1, length
    # Each letter more or less changes the distance by one at most, so this excludes most names at once.
    reach = limit + min(limit, 2)
    if OSA.distance(wanted, letters[start : start + length], score_cutoff=reach) > reach:
        return best, best_size
    for difference in (0, 1, -1, 2, -2)[: 1 + 2 * min(limit, 2)]:
        size = length + difference
        if not 0 < size <= rest or abs(difference) > best:
            continue
        edits = OSA.distance(wanted, letters[start : start + size], score_cutoff=best)
        if edits < best or (edits == best <= limit and start + size in ends and start + best_size not in ends):
            best, best_size = edits, size
    return best, best_size


def _has_words(words: list[str], names: list[str]) -> bool:
    """Return whether each word of a query is one of a name, in any order; the last one may be unfinished."""
    left = list(names)
    for word in words[:-1]:
        if word not in left:
            return False
        left.remove(word)
    return any(name.startswith(words[-1]) for name in left)


@lru_cache(maxsize=FORMS)
def _list_starts(form: str) -> tuple[int, ...]:
    """Return where the words of a form start among its joined letters."""
    if form.isascii() and not has_adjacent_numbers(form):
        return tuple(accumulate((len(word) for word in form.split()[:-1]), initial=0))
    rests = list_rests(form)
    return tuple(len(rests[0]) - len(rest) for rest in rests)


@lru_cache(maxsize=8192)
def _count_folded(letter: str) -> int:
    return len(join(fold(letter)))


def find_highlights(query: str, name: str) -> list[Span]:
    """Return the code points of a name that answer a query, where the name is matched in its own script."""
    found = match_name(fold(query), fold(name))
    if found is None:
        return []
    lengths = [0, *accumulate(map(_count_folded, name))]
    start = bisect_right(lengths, found.start) - 1
    end = next((index for index, length in enumerate(lengths) if length >= found.end), len(name))
    return [(start, end)] if start < end else []
