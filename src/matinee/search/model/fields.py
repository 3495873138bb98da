"""The fields of a document in an index, and how many documents a search needs: the same for every engine.

Besides the terms of `terms.py`: `words` are those of an `about` document, `initials` where its title is listed for
each language, `ages` those of the viewers who may find the document, and `territories` the only ones where it may be
found, after a mark that there are such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from matinee.search.model.documents import EVERYWHERE, Kind, NameDocument
from matinee.search.model.folding import drop_article, join
from matinee.search.model.forms import make_sound
from matinee.search.model.initials import LANGUAGES
from matinee.search.model.origins import is_origin
from matinee.search.model.terms import list_grams, list_heads, list_query_heads, list_starts, list_transposed

# Of the terms and the stored documents: an index of another version is built anew.
VERSION: Final = 11
# Names that begin with a query; with so many, none with an error is needed.
ENOUGH: Final = 20
# Shorter queries may have no error.
CORRECTED_LETTERS: Final = 4
# So many documents are examined for each owner that is wanted, where names are the same and where they are similar,
# and so many are kept.
NAMES_OF_ONE, SIMILAR_OF_ONE, KEPT_OF_ONE = 16, 2, 2
# So many studios and franchises that are like a query are wanted, and the mark of their `heads`: names with errors are
# many, and must not hide them.
MOST_GROUPS: Final = 8
_GROUP: Final = "g"
# The kinds of documents that must not hide one another where many names are the same: a mark of `whole` and `starts`.
GROUPS: Final[Mapping[Kind, str]] = {
    "title": "t",
    "about": "o",
    "episode": "e",
    "person": "o",
    "genre": "o",
    "group": "o",
}
_TRANSPOSED: Final[tuple[Kind, ...]] = ("title", "person")
# How many owners of each group are wanted, as shares of the titles.
GROUP_SHARES: Final[Mapping[str, float]] = {"t": 1.0, "e": 0.6, "o": 0.6}
# Names that are similar are put in order later: more of them are examined.
SIMILAR_SHARE: Final = 1.4
# Where no name is like a query, more are examined.
WIDE_SHARE: Final = 4.0
ADULT: Final = 18
# So many initials of a language are listed.
MAX_INITIALS: Final = 500
# The mark of documents that are not for every territory.
LIMITED: Final = "limited"


def list_fields(document: NameDocument) -> dict[str, list[str]]:
    """Return the terms of a document by field; a field without terms may be left out."""
    audience = document.audience
    fields: dict[str, list[str]] = {
        "owner": [document.owner],
        "kind": [document.kind],
        "ages": [str(age) for age in range(audience.maturity, ADULT)],
        "territories": [] if EVERYWHERE in audience.territories else [LIMITED, *audience.territories],
        "people": [*document.people],
    }
    group = GROUPS[document.kind]
    if document.kind == "about":
        whole = [group + letters for letters in document.groups]
        initials = [make_initial_term(each, document.get_place(each).initial) for each in LANGUAGES if document.places]
        own = {"whole": whole, "words": document.form.split(), "genres": [*document.genres], "initials": initials}
        return fields | own
    if document.kind == "group":
        return fields | {"heads": [_GROUP + head for head in list_heads(document.form)]}
    letters = join(document.form)
    sound = make_sound(document.form)
    return fields | {
        "whole": [group + whole for whole in dict.fromkeys((letters, join(drop_article(document.form))))],
        "starts": [group + start for start in list_starts(document.form)],
        "heads": [*list_heads(document.form)],
        "grams": list_grams(letters),
        "sound": [sound] if sound else [],
    }


def make_initial_term(language: str, initial: str) -> str:
    """Return the term of the titles that are listed under an initial; without one the beginning of all such terms."""
    return f"{language}:{initial}"


def list_transposed_terms(letters: str) -> list[str]:
    """Return the terms of `starts` that short letters have with two neighbours transposed, of titles and people."""
    return [GROUPS[kind] + each for each in list_transposed(letters) for kind in _TRANSPOSED]


def list_group_heads(letters: str) -> list[str]:
    """Return the terms of `heads` of which a studio or a franchise has one in common with a query."""
    return [_GROUP + head for heads in list_query_heads(letters) for head in heads]


def is_limited(document: NameDocument) -> bool:
    """Return whether the conditions of a query do not say exactly who may find a document."""
    return bool(document.audience.windows) or len(document.parts) > 1 or any(part.windows for part, _ in document.parts)


def suffice(names: Sequence[NameDocument], form: str) -> bool:
    """Return whether names are enough for a single word that is no genre, person, studio, franchise or origin."""
    if " " in form or len(names) < 2 * ENOUGH:
        return False
    if any(each.kind == "about" or (each.kind in {"person", "genre"} and each.form == form) for each in names):
        return False
    return not is_origin(form)
