"""The terms by which an index finds names: the same for every engine.

- `whole`: the joined letters of a form, with and without its article.
- `starts`: the first 1 to 8 letters from each of its words on.
- `heads`: the first 4, 5 and 7 letters, and these with one left out, so that two beginnings that differ by one edit
  have one in common (as in Garbe's SymSpell).
- `grams`: trigrams, with a mark at the beginning. A name with errors has most of them, joined or split.
- `sound`: how it sounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from matinee.search.model.folding import list_rests

START_LETTERS = 8
_GRAM = 3
# The lengths of beginnings that are found with an error: of a name, and of what follows one of its words.
_HEADS, _LATER_HEADS = (4, 5, 7), (7,)
_TRANSPOSED_LETTERS = (4, 5)
_TWO_EDITS_LETTERS = 8
_MARK = "^"


def list_starts(form: str) -> Iterable[str]:
    """Return the first letters of a form, from each of its words on."""
    rests = list_rests(form)
    return dict.fromkeys(rest[:size] for rest in rests for size in range(1, min(START_LETTERS, len(rest)) + 1))


def list_heads(form: str) -> Iterable[str]:
    """Return the beginnings of a form, from each of its words on, with one letter left out."""
    found: dict[str, None] = {}
    for place, rest in enumerate(list_rests(form)):
        for size in _LATER_HEADS if place else _HEADS:
            found |= dict.fromkeys(_list_deletions(rest, size))
    return found


def list_query_heads(letters: str) -> Iterable[list[str]]:
    """Yield the heads of which a name has one in common with a query; none for a query that may have no error."""
    shortest, *others = _HEADS
    if len(letters) < shortest:
        return
    sizes = _HEADS[:2] if len(letters) == shortest else others if len(letters) < others[-1] else others[-1:]
    for size in sizes:
        yield list(dict.fromkeys(_list_deletions(letters, size)))


def list_wide_heads(letters: str) -> list[str]:
    """Return the heads of which a name mostly has one in common with a query that differs by two edits.

    There are none for a query that may have one edit only.
    """
    return list(dict.fromkeys(_list_deletions(letters, _HEADS[1]))) if len(letters) >= _TWO_EDITS_LETTERS else []


def list_transposed(letters: str) -> list[str]:
    """Return short letters with each two neighbours transposed: too many names have a head in common with them."""
    if len(letters) not in _TRANSPOSED_LETTERS:
        return []
    pairs = ((letters[:place], letters[place : place + 2], letters[place + 2 :]) for place in range(len(letters) - 1))
    return [before + pair[::-1] + after for before, pair, after in pairs if pair[0] != pair[1]]


def list_about_words(form: str) -> tuple[list[str], str]:
    """Return the complete words of a query for what is known of titles, and the beginning of another one.

    The beginning is "" where there is none that says something: a single Latin letter does not.
    """
    *words, last = form.split()
    return words, last if len(last) > 1 or not last.isascii() else ""


def list_grams(letters: str, *, marked: bool = True) -> list[str]:
    """Return the trigrams of letters, each once; if `marked`, with one that marks the beginning."""
    text = f"{_MARK}{letters}" if marked else letters
    return [*dict.fromkeys(text[start : start + _GRAM] for start in range(max(1, len(text) - _GRAM + 1)))]


def _list_deletions(letters: str, size: int) -> Iterable[str]:
    """Return the first `size` letters, and without each one in turn, marked by the size."""
    head = letters[:size]
    yield f"{size}{head}"
    for index in range(len(head)):
        yield f"{size}{head[:index]}{head[index + 1 :]}"
