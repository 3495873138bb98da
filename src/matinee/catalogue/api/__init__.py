"""Titles, assets and what may be played: the public interface of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from matinee.catalogue.api.assets import (
    Asset,
    AudioTrack,
    Chapter,
    SegmentRun,
    TextSegments,
    TextTrack,
    Thumbnails,
    Track,
    VideoTrack,
)
from matinee.kit.ids import AssetId, EpisodeId, PersonId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent

__all__ = [
    "Artwork",
    "ArtworkKind",
    "Asset",
    "AssetNotFound",
    "AudioTrack",
    "Catalogue",
    "Chapter",
    "Credit",
    "Episode",
    "EpisodeNotFound",
    "Genre",
    "Kind",
    "Localised",
    "Mood",
    "NotAvailable",
    "NotPlayable",
    "Person",
    "Playable",
    "RemovedEpisode",
    "RightsWindow",
    "SegmentRun",
    "State",
    "TextSegments",
    "TextTrack",
    "Thumbnails",
    "Title",
    "TitleDraft",
    "TitleNotFound",
    "Track",
    "VideoTrack",
    "choose_text",
    "find_next_episode",
    "is_open",
    "watch_order",
]

# BCP 47 language tag → text; `choose_text` picks one for a reader.
Localised: TypeAlias = dict[str, str]
Kind: TypeAlias = Literal["film", "series"]
State: TypeAlias = Literal["draft", "published", "withdrawn"]
ArtworkKind: TypeAlias = Literal["poster", "card", "backdrop", "still", "portrait"]


class Artwork(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in the object store. `poster` is 2:3, `card`, `backdrop` and `still` are 16:9."""

    kind: ArtworkKind
    path: str
    width_px: int
    height_px: int
    colour: str = "#1a1614"
    language: str | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A person credited in a title."""

    person_id: PersonId
    names: Localised


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """A person's part in a title: `role` is `director`, `writer`, `cast`, `composer`…; `character` for the cast."""

    person: Person
    role: str
    character: str | None = None


class Genre(msgspec.Struct, frozen=True, kw_only=True):
    """A genre; `genre_id` is its slug."""

    genre_id: str
    names: Localised


class Mood(msgspec.Struct, frozen=True, kw_only=True):
    """How a title feels, such as `feel-good` or `tense`; `mood_id` is its slug."""

    mood_id: str
    names: Localised


class RightsWindow(msgspec.Struct, frozen=True, kw_only=True):
    """When and where a title may be shown; `territory` is ISO 3166-1 alpha-2, or `*` for everywhere."""

    territory: str = "*"
    opens_at: datetime | None = None
    closes_at: datetime | None = None


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """An episode of a series; `asset_id` is None until it can be played."""

    episode_id: EpisodeId
    season_number: int
    number: int
    names: Localised
    synopses: Localised = {}
    duration_ms: int = 0
    asset_id: AssetId | None = None
    artwork: list[Artwork] = []


class RemovedEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """An episode that was removed from its series; added again under its id it has its asset again."""

    episode_id: EpisodeId
    season_number: int
    number: int
    duration_ms: int = 0
    asset_id: AssetId | None = None


def watch_order(episode: Episode | RemovedEpisode) -> tuple[bool, int, int]:
    """Return the sort key of an episode in its series. Specials (season 0) come last."""
    return (episode.season_number == 0, episode.season_number, episode.number)


class _Details(msgspec.Struct, frozen=True, kw_only=True):
    """What operators edit. `countries` are those of production, as ISO 3166-1 alpha-2.

    `studios` are the names of the companies that produced a title, `franchise` is the name of the series of titles that
    it belongs to, and each of `keywords` is what it is about, such as `heist`.
    """

    title_id: TitleId
    kind: Kind
    names: Localised
    original_language: str
    synopses: Localised = {}
    taglines: Localised = {}
    year: int | None = None
    maturity: int = 0
    genres: list[Genre] = []
    countries: list[str] = []
    studios: list[str] = []
    franchise: Localised = {}
    moods: list[Mood] = []
    keywords: list[Localised] = []
    credits: list[Credit] = []
    artwork: list[Artwork] = []
    episodes: list[Episode] = []


class Title(_Details, frozen=True, kw_only=True):
    """A film or a series. `maturity` is the minimum age of a viewer in years, `asset_id` the asset of a film."""

    rights: list[RightsWindow] = []
    state: State = "draft"
    duration_ms: int = 0
    asset_id: AssetId | None = None
    audio_languages: list[str] = []
    subtitle_languages: list[str] = []
    published_at: datetime | None = None
    removed_episodes: list[RemovedEpisode] = []


class TitleDraft(_Details, frozen=True, kw_only=True):
    """The editable part of a title. Storing a draft under an existing id replaces all of these fields."""

    rights: list[RightsWindow] = msgspec.field(default_factory=lambda: [RightsWindow()])


class Playable(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to start playback."""

    title_id: TitleId
    names: Localised
    original_language: str
    maturity: int
    asset: Asset
    episode: Episode | None = None
    next_episode: Episode | None = None


class TitleNotFound(Problem, status=404):
    """There is no such title."""

    title_id: TitleId


class EpisodeNotFound(Problem, status=404):
    """There is no such episode."""

    episode_id: EpisodeId


class AssetNotFound(Problem, status=404):
    """There is no such asset."""

    asset_id: AssetId


class NotPlayable(Problem, status=409):
    """This title cannot be played yet: no part of it is encoded."""

    title_id: TitleId


class NotAvailable(Problem, status=403):
    """This title is not available in your territory at this time."""

    title_id: TitleId
    territory: str


def choose_text(texts: Localised, languages: Sequence[str], original: str) -> str:
    """Choose the text for a reader: their languages in order, then the original language, then any; "" if none.

    A tag falls back to its shorter forms (`pt-BR` → `pt`, RFC 4647 §3.4), then to another region of the same language.
    """
    if not texts:
        return ""
    for language in (*languages, original):
        if language in texts:
            return texts[language]
        if found := _find_nearest(texts, language):
            return found
    return next(iter(texts.values()), "")


def _find_nearest(texts: Localised, language: str) -> str:
    """Find the text whose tag is nearest to a language, ignoring case; "" if the language is missing."""
    known = {tag.lower(): text for tag, text in texts.items()}
    tag = language.lower()
    while tag:
        if tag in known:
            return known[tag]
        tag = tag.rpartition("-")[0]
    primary = language.lower().partition("-")[0]
    return next((text for tag, text in known.items() if tag.partition("-")[0] == primary), "")


def find_next_episode(title: Title, last_episode_id: EpisodeId | None, *, finished: bool = True) -> Episode | None:
    """Return the playable episode of a series to watch after the last one; None where nothing follows.

    An unfinished one is watched again, or the one that replaced it. It is the first where the last is unknown.
    """
    known: list[Episode | RemovedEpisode] = [*title.episodes, *title.removed_episodes]
    last = next((episode for episode in known if episode.episode_id == last_episode_id), None)
    playable = sorted((episode for episode in title.episodes if episode.asset_id), key=watch_order)
    if last is None:
        return next(iter(playable), None)
    place = watch_order(last)
    return next(
        (each for each in playable if watch_order(each) > place or (not finished and watch_order(each) == place)), None
    )


def is_open(rights: list[RightsWindow], territory: str, now: datetime) -> bool:
    """Return whether a window is open. If a territory has windows of its own, those for `*` are ignored."""
    own = [window for window in rights if window.territory == territory]
    for window in own or [window for window in rights if window.territory == "*"]:
        if (window.opens_at is None or window.opens_at <= now) and (window.closes_at is None or now < window.closes_at):
            return True
    return False


class Catalogue(Protocol):
    """Read and edit titles, attach assets, find what may be played."""

    @idempotent
    async def put_title(self, *, draft: TitleDraft) -> Title:
        """Create a title or replace its editable part; its state, assets and durations are kept. Idempotent."""

    @idempotent
    async def title(self, *, title_id: TitleId) -> Title:
        """Return a title in any state. Raises TitleNotFound."""

    @idempotent
    async def titles(self, *, title_ids: list[TitleId]) -> list[Title]:
        """Return published titles in the order of `title_ids`; unknown and unpublished ones are left out."""

    @idempotent
    async def browse(
        self,
        *,
        territory: str,
        maturity: int = 18,
        genre_id: str | None = None,
        kind: Kind | None = None,
        cursor: str | None = None,
        limit: int = 40,
    ) -> Page[Title]:
        """List published titles that are available in a territory and suitable for an age, newest first."""

    @idempotent
    async def everything(self, *, cursor: str | None = None, limit: int = 100) -> Page[Title]:
        """List titles in every state, newest first, for operators."""

    @idempotent
    async def genres(self) -> list[Genre]:
        """List the genres that have a published title, the most frequent first."""

    async def add_artwork(
        self, *, title_id: TitleId, artwork: list[Artwork], episode_id: EpisodeId | None = None
    ) -> Title:
        """Add pictures; replace those of the same kind and language. Raises TitleNotFound, EpisodeNotFound."""

    @idempotent
    async def attach_asset(self, *, asset: Asset) -> None:
        """Make an asset the one that is played. Idempotent. Raises TitleNotFound, EpisodeNotFound."""

    @idempotent
    async def asset(self, *, asset_id: AssetId) -> Asset:
        """Return an asset. Raises AssetNotFound.

        Assets of withdrawn titles are included, so that running play sessions can continue.
        """

    @idempotent
    async def publish(self, *, title_id: TitleId) -> Title:
        """Publish a title. Idempotent. Raises TitleNotFound, and NotPlayable while it has no asset."""

    @idempotent
    async def withdraw(self, *, title_id: TitleId) -> Title:
        """Withdraw a title. Idempotent. Raises TitleNotFound."""

    @idempotent
    async def playable(
        self,
        *,
        title_id: TitleId,
        territory: str,
        episode_id: EpisodeId | None = None,
        last_episode_id: EpisodeId | None = None,
        last_finished: bool = False,
    ) -> Playable:
        """Return the asset of a film or an episode.

        For a series without `episode_id` it is that of the last watched episode or, where that was finished or
        removed, of the next one; without either, of the first playable episode.

        Raises TitleNotFound (also for unpublished titles), EpisodeNotFound, NotPlayable, NotAvailable.
        """
