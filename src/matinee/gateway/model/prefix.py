"""A search by the beginning of a word, for the time when the index does not answer."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")


def find_prefix(name: str, query: str) -> tuple[int, int] | None:
    """Return the code points of a name, from the beginning of a word, that are the query; None if there are none.

    Case, accents and compatibility forms are ignored.
    """
    wanted = fold(query)
    if not wanted:
        return None
    for word in _WORD.finditer(name):
        start = word.start()
        if fold(name[start:]).startswith(wanted):
            return start, _find_end(name, start, wanted)
    return None


def fold(text: str) -> str:
    """Return a text without case, accents and compatibility forms."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))


def _find_end(name: str, start: int, wanted: str) -> int:
    """Return the end of the shortest part that has what is wanted; letters such as ß fold to several."""
    return next(end for end in range(start + 1, len(name) + 1) if fold(name[start:end]).startswith(wanted))
