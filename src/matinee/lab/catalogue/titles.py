"""The titles of the generated catalogue."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Final

import msgspec

from matinee.catalogue.api import Credit, Episode, Genre, Localised, Person, TitleDraft
from matinee.kit.ids import EpisodeId, TitleId, derive
from matinee.lab.catalogue.forms import LANGUAGES, LATIN
from matinee.lab.catalogue.genres import GENRES, WEIGHTS
from matinee.lab.catalogue.names import get_composer
from matinee.lab.catalogue.people import generate_people
from matinee.lab.catalogue.scripts import read_japanese, to_hiragana, to_katakana_name, to_romaji, to_traditional

_PEOPLE_PER_TITLE = 25 / 36
_FRANCHISE, _REMAKE, _SERIES = 0.1, 0.025, 0.28
_KEEPS_ORIGINAL, _KATAKANA, _ROMAJI = 0.3, 0.25, 0.15
_ROMAN: Final = ("", "", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_MATURITIES: Final = (0, 0, 6, 7, 12, 12, 13, 16, 16, 18)
_MINUTE_MS = 60_000


class GeneratedTitle(msgspec.Struct, frozen=True, kw_only=True):
    """A title of the generated catalogue.

    `popularity` is above 0 and at most 1. `reading` and `romaji` are those of a Japanese name, otherwise "".
    `franchise` is the id of the first title of a series of films, `number` the place in it.
    """

    draft: TitleDraft
    popularity: float
    country: str
    audio_languages: list[str]
    subtitle_languages: list[str]
    reading: str = ""
    romaji: str = ""
    franchise: TitleId | None = None
    number: int = 1


def generate_titles(count: int, seed: int) -> Iterator[GeneratedTitle]:
    """Generate titles; the same for the same count and seed."""
    yield from _Generator(count, seed).generate()


class _Generator:
    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._rng = Random(f"titles/{seed}")  # noqa: S311 - not for security
        self._people = generate_people(round(count * _PEOPLE_PER_TITLE), seed)
        self._tags = list(LANGUAGES)
        self._shares = list(accumulate(language.share for language in LANGUAGES.values()))
        self._genre_weights = list(accumulate(WEIGHTS))
        self._made: list[GeneratedTitle] = []
        self._firsts: dict[TitleId, GeneratedTitle] = {}
        self._numbers: dict[TitleId, int] = {}

    def generate(self) -> Iterator[GeneratedTitle]:
        ranks = list(range(1, self._count + 1))
        self._rng.shuffle(ranks)
        for n, rank in enumerate(ranks):
            title = self._make(n, popularity=rank**-0.6)
            self._made.append(title)
            yield title

    def _make(self, n: int, popularity: float) -> GeneratedTitle:
        title_id = derive(TitleId, "lab", str(self._seed), str(n))
        draw = self._rng.random()
        if n > 20 and draw < _FRANCHISE:
            return self._make_sequel(title_id, popularity)
        if n > 20 and draw < _FRANCHISE + _REMAKE:
            return self._make_remake(title_id, popularity)
        (original,) = self._rng.choices(self._tags, cum_weights=self._shares)
        country = self._rng.choice(LANGUAGES[original].countries)
        names = self._make_names(original, country)
        series = self._rng.random() < _SERIES
        return self._complete(title_id, names, original, country, popularity, series=series)

    def _make_sequel(self, title_id: TitleId, popularity: float) -> GeneratedTitle:
        first = self._made[int(len(self._made) * self._rng.random())]
        if first.franchise:
            first = self._firsts[first.franchise]
        franchise = first.draft.title_id
        self._firsts[franchise] = first
        number = self._numbers.get(franchise, 1) + 1
        self._numbers[franchise] = number
        ending = self._rng.choice(("digit", "digit", "roman", "subtitle", "number and subtitle"))
        names = {
            tag: self._append(name, tag, number if number < len(_ROMAN) else number % 8 + 2, ending)
            for tag, name in first.draft.names.items()
        }
        title = self._complete(
            title_id, names, first.draft.original_language, first.country, popularity, series=False, first=first
        )
        return msgspec.structs.replace(title, franchise=franchise, number=number)

    def _make_remake(self, title_id: TitleId, popularity: float) -> GeneratedTitle:
        made = self._rng.choice(self._made)
        names = dict(made.draft.names)
        for tag in list(names):
            if tag != made.draft.original_language and len(names) > 2 and self._rng.random() < 0.3:
                del names[tag]
        series = self._rng.random() < _SERIES / 2
        return self._complete(title_id, names, made.draft.original_language, made.country, popularity, series=series)

    def _append(self, name: str, tag: str, number: int, ending: str) -> str:
        """Append what distinguishes a sequel from the first title of its franchise."""
        base = tag.partition("-")[0]
        space = "" if base in ("ja", "zh") else " "
        colon = "：" if base == "zh" else ": "
        match ending:
            case "digit":
                return f"{name}{space}{number}"
            case "roman":
                return f"{name} {_ROMAN[number]}"
            case "subtitle":
                return f"{name}{colon}{get_composer(base).compose(self._rng, words_at_most=2)}"
            case _:
                return f"{name}{space}{number}{colon}{get_composer(base).compose(self._rng, words_at_most=1)}"

    def _make_names(self, original: str, country: str) -> Localised:
        rng = self._rng
        names = {original: get_composer(original).compose(rng)}
        for tag in self._choose_languages(original):
            if tag not in names:
                names[tag] = get_composer(tag).compose(rng)
        self._share_latin_name(names, original)
        if original != "ja" and "ja" in names and rng.random() < _KATAKANA:
            names["ja"] = to_katakana_name(names.get("en", "")) or names["ja"]
        if country in ("TW", "HK"):
            names["zh-Hant"] = to_traditional(names.pop("zh"))
        return {tag: names[tag] for tag in sorted(names, key=lambda tag: tag.partition("-")[0] != original)}

    def _choose_languages(self, original: str) -> list[str]:
        """Choose the languages of the names: sometimes two, sometimes all."""
        draw = self._rng.random()
        if draw < 0.1:
            return self._tags
        if draw < 0.3:
            return [self._rng.choice([tag for tag in self._tags if tag != original])] if original == "en" else ["en"]
        chosen = [tag for tag, language in LANGUAGES.items() if self._rng.random() < language.known]
        return chosen if set(chosen) - {original} else ["en", "fr"]

    def _share_latin_name(self, names: Localised, original: str) -> None:
        """Give all Latin languages the same name, as is often the case."""
        if original in LATIN and self._rng.random() < _KEEPS_ORIGINAL:
            shared = names[original]
        elif original == "ja" and self._rng.random() < _ROMAJI:
            shared = " ".join(word.capitalize() for word in _to_romaji_words(names["ja"]))
        else:
            return
        names.update({tag: shared for tag in LATIN if tag in names})

    def _complete(
        self,
        title_id: TitleId,
        names: Localised,
        original: str,
        country: str,
        popularity: float,
        *,
        series: bool,
        first: GeneratedTitle | None = None,
    ) -> GeneratedTitle:
        rng = self._rng
        tag = original
        original = tag.partition("-")[0]
        draft = TitleDraft(
            title_id=title_id,
            kind="series" if series else "film",
            names=names,
            original_language=tag if tag in names else next(iter(names)),
            year=min(2026, (first.draft.year or 0) + rng.randint(1, 6)) if first else _draw_year(rng),
            maturity=rng.choice(_MATURITIES),
            genres=first.draft.genres if first else self._choose_genres(),
            countries=[country],
            franchise=first.draft.names if first else {},
            credits=self._choose_credits(original, first),
            episodes=self._make_episodes(title_id, names) if series else [],
        )
        japanese = read_japanese(names["ja"]) if "ja" in names else ""
        spoken = [tag for tag in self._tags if tag in names and rng.random() < 0.4 + popularity / 2]
        return GeneratedTitle(
            draft=draft,
            popularity=popularity,
            country=country,
            audio_languages=[original, *(tag for tag in spoken if tag != original)],
            subtitle_languages=[tag for tag in self._tags if tag in names or rng.random() < 0.2],
            reading=to_hiragana(japanese),
            romaji=to_romaji(japanese),
        )

    def _choose_genres(self) -> list[Genre]:
        (count,) = self._rng.choices((1, 2, 3), (30, 45, 25))
        chosen = self._rng.choices(GENRES, cum_weights=self._genre_weights, k=count)
        return list({genre.genre_id: genre for genre in chosen}.values())

    def _choose_credits(self, original: str, first: GeneratedTitle | None) -> list[Credit]:
        rng = self._rng
        if first and rng.random() < 0.7:
            return first.draft.credits
        cast = list(
            {p.person_id: p for p in (self._choose_person(original) for _ in range(rng.randint(3, 8)))}.values()
        )
        composer = get_composer(original)
        return [
            Credit(person=self._choose_person(original), role="director"),
            Credit(person=self._choose_person(original), role="writer"),
            *(Credit(person=person, role="cast", character=composer.compose_character(rng)) for person in cast),
        ]

    def _choose_person(self, original: str) -> Person:
        """Choose a person, well-known ones more often, mostly of the language of the title."""
        tag = original if self._rng.random() < 0.85 else "en"
        people = self._people[tag]
        return people[int(len(people) * self._rng.random() ** 1.3)]

    def _make_episodes(self, title_id: TitleId, names: Localised) -> list[Episode]:
        rng = self._rng
        tags = [tag for tag in list(names)[:2] if tag in LANGUAGES] or ["en"]
        duration_ms = rng.choice((22, 30, 42, 50, 58)) * _MINUTE_MS
        return [
            Episode(
                episode_id=derive(EpisodeId, title_id, str(season), str(number)),
                season_number=season,
                number=number,
                names={tag: get_composer(tag).compose_episode(rng) for tag in tags},
                duration_ms=duration_ms,
            )
            for season in range(1, rng.choice((1, 1, 2, 2, 3, 4)) + 1)
            for number in range(1, rng.randint(6, 10) + 1)
        ]


def _draw_year(rng: Random) -> int:
    """Draw a year from 1930 to 2026; recent ones are more frequent."""
    return 2026 - min(96, math.floor(rng.expovariate(1 / 18)))


def _to_romaji_words(name: str) -> list[str]:
    """Return the words of a Japanese name in romaji; particles are words too."""
    words = [word for part in name.split(" ") for word in part.replace("の", " の ").replace("と", " と ").split()]
    return [to_romaji(read_japanese(word)) for word in words]
