"""What is indexed: one document for each form of each name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from matinee.catalogue.api import Credit, Genre, Localised, RightsWindow, Title, is_open
from matinee.kit.hashing import sha256_hex
from matinee.kit.ids import EpisodeId, PersonId
from matinee.search.model.folding import drop_article, fold, join
from matinee.search.model.forms import list_name_forms, transliterate
from matinee.search.model.initials import DEFAULT, Place, list_places
from matinee.search.model.origins import list_country_words, list_language_words

# `about` documents contain what is known of a title, for queries that combine parts of it. A `group` is a studio or a
# franchise: its documents only serve to correct a query, for which the `about` documents of its titles are then found.
Kind: TypeAlias = Literal["title", "episode", "person", "genre", "about", "group"]
EVERYWHERE = "*"
_SYNOPSIS_WORDS, _GROUP_DIGITS = 60, 24
_ROLES = frozenset({"cast", "director", "writer", "composer"})
# What viewers leave out at the beginning and the end of the name of a studio or a franchise.
_GENERIC_WORDS = (
    "studio studios picture pictures film films movies entertainment production productions company animation media"
    " television tv bros brothers cinematic universe saga series collection trilogy franchise inc ltd gmbh"
    " filme filmproduktion filmreihe cinema"
)
_GENERIC = frozenset(_GENERIC_WORDS.split())


class Audience(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who may find a name: viewers of an age and a territory. `windows` are the rights of a title that limits them."""

    maturity: int = 0
    territories: tuple[str, ...] = (EVERYWHERE,)
    windows: tuple[RightsWindow, ...] = ()

    def includes(self, territory: str, maturity: int, now: datetime) -> bool:
        """Return whether a viewer may find the name now."""
        if self.maturity > maturity:
            return False
        return is_open(list(self.windows), territory, now) if self.windows else True


class NameDocument(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A form of a name of `owner`: a title, a person, a genre, or a studio or franchise.

    `popularity` is from 0 to 1. `audience` includes everyone who may find the name; of a person it is not exact, but
    `parts` is, which has the number of titles for each audience, and `titles` their number for one viewer. Documents
    of a title have its genres, and the `about` document its people, its episodes, by season and number, `groups`, the
    joined letters of the names of its studios and its franchise, and where its names are listed (`list_places`).
    """

    owner: str
    kind: Kind
    name: str
    form: str
    language: str
    popularity: float = 0.0
    audience: Audience = Audience()
    episode_id: EpisodeId | None = None
    titles: int = 0
    people: tuple[PersonId, ...] = ()
    genres: tuple[str, ...] = ()
    parts: tuple[tuple[Audience, int], ...] = ()
    episodes: tuple[tuple[int, int, EpisodeId], ...] = ()
    groups: tuple[str, ...] = ()
    places: tuple[tuple[str, Place], ...] = ()

    def count_for(self, territory: str, maturity: int, now: datetime) -> int:
        """Return for how many titles a viewer may find this, 0 if not at all."""
        if not self.parts:
            return int(self.audience.includes(territory, maturity, now))
        return sum(count for part, count in self.parts if part.includes(territory, maturity, now))

    def get_place(self, language: str) -> Place:
        """Return where the name that viewers of a language are shown is listed."""
        places = dict(self.places)
        return places.get(language) or places[DEFAULT]


class Group(msgspec.Struct, frozen=True):
    """A studio or a franchise, by one of its names: one that has several is found by each."""

    name: str
    language: str

    def make_owner(self) -> str:
        """Return the owner of the documents: a name in any spelling has the same."""
        return f"group-{sha256_hex(join(fold(self.name)).encode())[:_GROUP_DIGITS]}"


class Credited(msgspec.Struct, frozen=True):
    """A person, and the titles that credit the person: how many for each audience.

    `audience` includes everyone who may find one of them.
    """

    person_id: PersonId
    names: Localised
    popularity: float
    audience: Audience
    titles: Counter[Audience]


def build_documents(
    titles: list[tuple[Title, float]], people: list[Credited], genres: list[Genre], groups: list[Group]
) -> dict[str, list[NameDocument]]:
    """Return the documents of published titles with their popularity, of people, genres and groups, by owner."""
    documents: dict[str, list[NameDocument]] = {
        title.title_id: build_title_documents(title, popularity) for title, popularity in titles
    }
    documents |= {person.person_id: build_person_documents(person) for person in people}
    documents |= {genre.genre_id: build_genre_documents(genre) for genre in genres}
    return documents | {group.make_owner(): build_group_documents(group) for group in groups}


def build_title_documents(title: Title, popularity: float) -> list[NameDocument]:
    """Return the documents of a published title: its names, its episodes, and what is known of it."""
    audience, genres = build_audience(title), tuple(genre.genre_id for genre in title.genres)

    def build(kind: Kind, name: str, form: str, language: str, episode_id: EpisodeId | None = None) -> NameDocument:
        fields = (kind, name, form, language, popularity, audience, episode_id)
        return NameDocument(title.title_id, *fields, genres=genres)

    documents = [build("title", *each) for each in _list_forms(title.names)]
    for episode in title.episodes:
        documents += [build("episode", *each, episode.episode_id) for each in _list_forms(episode.names)]
    name = next(iter(title.names.values()), "")
    about = build("about", name, " ".join(_list_words(title)), title.original_language)
    episodes = tuple((each.season_number, each.number, each.episode_id) for each in title.episodes)
    people, groups = tuple(sorted(list_people(title))), tuple(dict.fromkeys(_list_group_letters(title)))
    places = tuple(list_places(title).items())
    return [*documents, replace(about, people=people, episodes=episodes, groups=groups, places=places)]


def build_person_documents(person: Credited) -> list[NameDocument]:
    """Return the documents of a person."""
    parts = tuple(person.titles.items())
    return [
        NameDocument(person.person_id, "person", *each, person.popularity, person.audience, parts=parts)
        for each in _list_forms(person.names)
    ]


def build_genre_documents(genre: Genre) -> list[NameDocument]:
    """Return the documents of a genre."""
    return [NameDocument(genre.genre_id, "genre", *each) for each in _list_forms(genre.names)]


def build_group_documents(group: Group) -> list[NameDocument]:
    """Return the documents of a studio or a franchise: its name, also without its generic words."""
    forms = (each for form in list_name_forms(group.name, group.language) for each in (form, _drop_generic(form)))
    owner = group.make_owner()
    return [NameDocument(owner, "group", group.name, form, group.language) for form in dict.fromkeys(forms) if form]


def build_audience(title: Title) -> Audience:
    """Return who may find a title."""
    territories = tuple(dict.fromkeys(window.territory for window in title.rights))
    is_limited = any(window.opens_at or window.closes_at for window in title.rights) or territories != (EVERYWHERE,)
    return Audience(title.maturity, territories, tuple(title.rights) if is_limited else ())


def is_over(title: Title, now: datetime) -> bool:
    """Return whether every rights window of a title has closed."""
    return all(window.closes_at is not None and window.closes_at <= now for window in title.rights)


def add_credits(found: dict[PersonId, Credited], title: Title, popularity: float) -> None:
    """Add the people of a title to those of others, each as popular as the most popular title."""
    audience = build_audience(title)
    for person_id, names in {credit.person.person_id: credit.person.names for credit in title.credits}.items():
        known = found.get(person_id) or Credited(person_id, {}, 0.0, Audience(99, ()), Counter())
        everyone = Audience(
            min(known.audience.maturity, audience.maturity),
            tuple(dict.fromkeys((*known.audience.territories, *audience.territories))),
        )
        names, most = {**known.names, **names}, max(known.popularity, popularity)
        found[person_id] = Credited(person_id, names, most, everyone, known.titles + Counter([audience]))


def list_people(title: Title) -> set[PersonId]:
    """Return the ids of the people of a title."""
    return {credit.person.person_id for credit in title.credits}


def list_groups(title: Title) -> Iterator[Group]:
    """Yield the studios and the franchise of a title."""
    names = [(title.original_language, studio) for studio in title.studios] + [*title.franchise.items()]
    yield from (Group(name, language) for language, name in names if fold(name))


def _list_forms(names: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each name with each of its forms and its language; a form that two languages share only once."""
    found: set[str] = set()
    for language, name in names.items():
        for form in list_name_forms(name, language):
            if form not in found:
                found.add(form)
                yield name, form, language


def _list_words(title: Title) -> Iterable[str]:
    """Return the folded words that describe a title, each once."""
    texts = [*title.names.values()]
    for credit in title.credits:
        texts += _list_credit_texts(credit)
    texts += [name for genre in title.genres for name in genre.names.values()]
    texts += [name for episode in title.episodes for name in episode.names.values()]
    texts += [str(title.year or ""), title.kind, *title.audio_languages]
    facts = _list_fact_texts(title)
    words = [word for text in [*texts, *facts] for word in (fold(text), *_list_latin(text))]
    # Also as one word: `feelgood`.
    words += [join(fold(text)) for text in facts]
    words += [word for country in title.countries for word in list_country_words(country)]
    words += list_language_words(title.original_language)
    words += fold(next(iter(title.synopses.values()), "")).split()[:_SYNOPSIS_WORDS]
    return dict.fromkeys(word for text in words for word in text.split())


def _list_group_letters(title: Title) -> Iterator[str]:
    """Yield the joined letters of the names of studios and of the franchise, as viewers may shorten them."""
    for group in list_groups(title):
        for form in list_name_forms(group.name, group.language):
            bare = drop_article(form)
            yield from (join(each) for each in (form, bare, _drop_generic(bare)) if each)


def _drop_generic(form: str) -> str:
    words = form.split()
    while words and words[-1] in _GENERIC:
        words.pop()
    while words and words[0] in _GENERIC:
        words.pop(0)
    return " ".join(words)


def _list_fact_texts(title: Title) -> list[str]:
    """Return the names of studios, franchise and moods, and the keywords, in every language."""
    localised = [title.franchise, *(mood.names for mood in title.moods), *title.keywords]
    return [*title.studios, *(text for texts in localised for text in texts.values())]


def _list_credit_texts(credit: Credit) -> list[str]:
    texts = [*credit.person.names.values()] if credit.role in _ROLES else []
    return [*texts, credit.character] if credit.character else texts


def _list_latin(text: str) -> list[str]:
    return [] if text.isascii() else [transliterate(text)]
