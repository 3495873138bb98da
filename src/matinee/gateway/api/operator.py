"""The requests and answers of the operator's pages."""

from __future__ import annotations

from datetime import datetime

import msgspec

from matinee.catalogue.api import Kind, Localised, State
from matinee.kit.ids import EpisodeId, JobId, TitleId, UploadId


class IngestSide(msgspec.Struct, frozen=True, kw_only=True):
    """An audio or subtitle file uploaded in addition to the film."""

    upload_id: UploadId
    language: str
    role: str = "main"


class IngestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to ingest an upload. Without `title_id` a film of this name is created.

    `again` allows a file of which another title was made.
    """

    upload_id: UploadId
    name: str = ""
    title_id: TitleId | None = None
    episode_id: EpisodeId | None = None
    synopsis: str = ""
    language: str = "en"
    year: int | None = None
    maturity: int = 0
    genre_ids: list[str] = []
    audio: list[IngestSide] = []
    subtitles: list[IngestSide] = []
    again: bool = False


class IngestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The job that was queued."""

    title_id: TitleId
    job_id: JobId


class EpisodeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An episode in the operator's list of titles."""

    episode_id: EpisodeId
    season_number: int
    number: int
    names: Localised
    playable: bool


class TitleEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A title in the operator's list, as far as the list shows it. A series is `playable` if one of its episodes is."""

    title_id: TitleId
    kind: Kind
    names: Localised
    state: State
    maturity: int
    playable: bool
    year: int | None = None
    audio_languages: list[str] = []
    subtitle_languages: list[str] = []
    episodes: list[EpisodeEntry] = []


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of a service in the registry."""

    service: str
    instance_id: str
    address: str
    state: str
    renewed_at: datetime


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an edge should get no new sessions."""

    draining: bool
