"""The demo catalogue, read from `lab/data/demo.toml`: its titles, each with a reel, or one reel per episode."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from matinee.catalogue.api import Artwork, Credit, Episode, Genre, Mood, Person, TitleDraft
from matinee.kit import ids
from matinee.kit.ids import EpisodeId, PersonId, TitleId
from matinee.lab.demo.sound import Score

_CATALOGUE = Path(__file__).parents[1] / "data" / "demo.toml"
_FIELDS = ("names", "original_language", "synopses", "taglines", "year", "maturity", "countries", "studios", "keywords")


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence in each language; `spoken` is how it sounds where its spelling does not tell."""

    start_s: float
    end_s: float
    text: dict[str, str]
    spoken: dict[str, str] = {}


class ArtworkStyle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How artwork is composed: its instants, the centre of interest (0 left, 1 right), and the type."""

    poster_s: float
    card_s: float
    backdrop_s: float
    focus: float = 0.5
    font: Literal["jost", "fraunces", "cormorant-italic", "bebas-neue", "space-mono", "syne"] = "jost"
    weight: int = 600
    ink: str = "#fff6e6"
    shade: str = "#000000"
    scrim: float = 0.75
    title_at: Literal["top", "bottom"] = "bottom"
    capitals: bool = False
    tracking: float = 0.0
    by: str = ""


class Reel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A film, or an episode with its names and synopses. Only every `frames_per_painting`-th frame is painted."""

    slug: str
    seconds: int
    frames_per_painting: int
    score: Score
    artwork: ArtworkStyle
    lines: tuple[Line, ...]
    audio: tuple[str, ...] = ("en", "de")
    extra_audio: tuple[str, ...] = ()
    filters: str = "null"
    crf: int = 12
    episode: int | None = None
    names: dict[str, str] = {}
    synopses: dict[str, str] = {}


class CatalogueEntry(NamedTuple):
    """The title of a reel, and what the reel is: its film, or an episode."""

    draft: TitleDraft
    episode_id: EpisodeId | None


class DemoFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The names of the files of a reel in its folder.

    `audio` is sound beside the master's own, `subtitles` WebVTT, both by language. `stills` belong to the film or
    episode, `artwork` to the title (empty for all but the first episode of a series).
    """

    slug: str
    folder: str = ""
    master: str = "master.mov"
    audio: dict[str, str]
    subtitles: dict[str, str]
    artwork: list[Artwork]
    stills: list[Artwork]


def _load() -> tuple[dict[str, Reel], dict[str, CatalogueEntry]]:
    """Return each reel and its entry; ids are the same on every machine."""
    data, entries = tomllib.loads(_CATALOGUE.read_text(encoding="utf-8")), {}
    reels = {title["names"]["en"]: msgspec.convert(title["reels"], list[Reel]) for title in data["titles"]}
    for title in data["titles"]:
        draft = _draft(title, reels[title["names"]["en"]], data["genres"], data["moods"])
        for reel in reels[title["names"]["en"]]:
            entries[reel.slug] = CatalogueEntry(draft, _episode_id(reel) if reel.episode else None)
    return {reel.slug: reel for group in reels.values() for reel in group}, entries


def _draft(
    title: dict[str, Any], reels: list[Reel], genres: dict[str, dict[str, str]], moods: dict[str, dict[str, str]]
) -> TitleDraft:
    episodes = [_episode(reel, reel.episode) for reel in reels if reel.episode]
    return TitleDraft(
        title_id=ids.derive(TitleId, "demo", title["names"]["en"]),
        kind="series" if episodes else "film",
        genres=[Genre(genre_id=genre_id, names=genres[genre_id]) for genre_id in title["genres"]],
        moods=[Mood(mood_id=mood_id, names=moods[mood_id]) for mood_id in title["moods"]],
        franchise=title.get("franchise", {}),
        credits=[_credit(**credit) for credit in title["credits"]],
        episodes=episodes,
        **{name: title[name] for name in _FIELDS},
    )


def _episode(reel: Reel, number: int) -> Episode:
    return Episode(
        episode_id=_episode_id(reel),
        season_number=1,
        number=number,
        names=reel.names,
        synopses=reel.synopses,
        duration_ms=reel.seconds * 1000,
    )


def _episode_id(reel: Reel) -> EpisodeId:
    return ids.derive(EpisodeId, "demo", reel.slug)


def _credit(name: str, role: str, character: str | None = None) -> Credit:
    person = Person(person_id=ids.derive(PersonId, "demo", name), names={"en": name})
    return Credit(person=person, role=role, character=character)


# In the order of making: the first film is quick, so that there is something to watch early.
REELS, ENTRIES = _load()
