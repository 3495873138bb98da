"""The front door of encoding."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from matinee.kit.ids import AssetId, EpisodeId, JobId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent, long_running

StepState: TypeAlias = Literal["waiting", "running", "done", "failed"]
JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]


class VideoStream(msgspec.Struct, frozen=True, kw_only=True):
    """A picture stream as it was probed; sizes are as displayed, with square pixels."""

    index: int
    codec: str
    width_px: int
    height_px: int
    frame_rate: str
    frames: int
    bit_depth: int
    pixel_format: str
    rotation_deg: int = 0
    interlaced: bool = False
    colour_transfer: str = "unknown"


class AudioStream(msgspec.Struct, frozen=True, kw_only=True):
    """A sound stream as it was probed."""

    index: int
    codec: str
    channels: int
    sample_rate_hz: int
    language: str = "und"


class SubtitleStream(msgspec.Struct, frozen=True, kw_only=True):
    """A subtitle stream as it was probed; only text can be taken over."""

    index: int
    codec: str
    language: str = "und"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What validation found: the streams, and what a person should know though it is no reason to refuse."""

    container: str
    duration_ms: int
    size_bytes: int
    video: VideoStream
    audio: list[AudioStream] = []
    subtitles: list[SubtitleStream] = []
    warnings: list[str] = []


class SideFile(msgspec.Struct, frozen=True, kw_only=True):
    """Sound or subtitles that come in a file of their own."""

    path: str
    language: str
    role: str = "main"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A master file to be made into a playable title. Paths are on this machine or in the object store.

    `publish` offers the title when the asset is attached; `consume` moves the file instead of copying it.
    """

    title_id: TitleId
    path: str
    episode_id: EpisodeId | None = None
    audio: list[SideFile] = []
    subtitles: list[SideFile] = []
    publish: bool = True
    consume: bool = False
    language: str = "und"
    priority: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a job. `done` of `total` in the step's own unit (frames, bytes, files)."""

    name: str
    state: StepState = "waiting"
    done: int = 0
    total: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A master on its way to the viewers. `remaining_ms` is an estimate; `reason` says why it failed and what to do."""

    job_id: JobId
    order: Order
    state: JobState
    steps: list[Step]
    created_at: datetime
    updated_at: datetime
    attempts: int = 0
    file_name: str = ""
    asset_id: AssetId | None = None
    remaining_ms: int | None = None
    reason: str = ""
    warnings: list[str] = []


class Unusable(Problem, status=422):
    """This file cannot be used."""

    file: str
    stream: str
    remedy: str


class JobNotFound(Problem, status=404):
    """There is no such job."""

    job_id: JobId


class NoSpace(Problem, status=507):
    """There is not enough room on the disk."""

    needed_bytes: int
    free_bytes: int


class Encoding(Protocol):
    """Masters in, published assets out."""

    @idempotent
    @long_running(limit_ms=60_000)
    async def inspect(self, *, path: str, audio: Sequence[SideFile] = (), subtitles: Sequence[SideFile] = ()) -> Report:
        """Probe a film, look at what comes beside it, and say what it holds: what is refused is refused here.

        Raises Unusable with the file, the stream and the remedy; NoSpace.
        """

    @idempotent
    @long_running(limit_ms=600_000)
    async def submit(self, *, order: Order) -> Job:
        """Take a master in and queue its job. Idempotent while a job of the same title, episode and file is under way.

        Raises Unusable (nothing is kept), NoSpace, TitleNotFound.
        """

    @idempotent
    async def job(self, *, job_id: JobId) -> Job:
        """A job as it stands. Raises JobNotFound."""

    @idempotent
    async def jobs(self, *, state: JobState | None = None, cursor: str | None = None, limit: int = 50) -> Page[Job]:
        """Jobs, newest first."""

    @idempotent
    async def cancel(self, *, job_id: JobId) -> Job:
        """Stop a job; finished steps stay. Idempotent. Raises JobNotFound."""

    async def retry(self, *, job_id: JobId) -> Job:
        """Queue a failed or cancelled job again; it goes on after its finished steps. Raises JobNotFound."""
