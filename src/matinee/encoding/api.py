"""The public interface of encoding: masters in, published assets out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from matinee.kit.ids import AssetId, EpisodeId, JobId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent, long_running
from matinee.mesh.queue.items import WorkItem, WorkState

StepState: TypeAlias = Literal["waiting", "running", "done", "failed"]
JobState: TypeAlias = WorkState
# The prefix of masters that were submitted from a machine whose files the workers cannot read.
INCOMING: Final = "incoming/"


class VideoStream(msgspec.Struct, frozen=True, kw_only=True):
    """A probed video stream; sizes are as displayed, with square pixels."""

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
    """A probed audio stream that can be decoded; `title` is what the file calls it."""

    index: int
    codec: str
    channels: int
    sample_rate_hz: int
    language: str = "und"
    title: str = ""
    role: str = "main"


class SubtitleStream(msgspec.Struct, frozen=True, kw_only=True):
    """A probed subtitle stream; only text formats can be used. `title` is what the file calls it."""

    index: int
    codec: str
    language: str = "und"
    title: str = ""
    role: str = "subtitle"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The streams of a master, and warnings that do not prevent its use."""

    container: str
    duration_ms: int
    size_bytes: int
    video: VideoStream
    audio: list[AudioStream] = []
    subtitles: list[SubtitleStream] = []
    warnings: list[str] = []


class SideFile(msgspec.Struct, frozen=True, kw_only=True):
    """An audio or subtitle file beside the master."""

    path: str
    language: str
    role: str = "main"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A master file to encode for a title. Paths are absolute on this machine, or keys of the object store.

    `publish` publishes the title once the asset is attached; `consume` moves the files instead of copying them;
    `again` allows a file of which another title was made.
    """

    title_id: TitleId
    path: str
    episode_id: EpisodeId | None = None
    audio: list[SideFile] = []
    subtitles: list[SideFile] = []
    publish: bool = True
    consume: bool = False
    again: bool = False
    language: str = "und"
    priority: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a job: `done` of `total` in the step's own unit (frames, tracks, files)."""

    name: str
    state: StepState = "waiting"
    done: int = 0
    total: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Job(WorkItem, frozen=True, kw_only=True):
    """The encoding of one order. `remaining_ms` is an estimate; `reason` says why it failed and what to do."""

    job_id: JobId
    order: Order
    steps: list[Step]
    file_name: str = ""
    asset_id: AssetId | None = None
    remaining_ms: int | None = None
    warnings: list[str] = msgspec.field(default_factory=list)

    @property
    def item_id(self) -> str:
        """The id of the job in the queue."""
        return self.job_id

    @property
    def priority(self) -> int:
        """The priority of the order."""
        return self.order.priority


class Unusable(Problem, status=422):
    """This file cannot be used."""

    file: str
    stream: str
    remedy: str


class AlreadyIngested(Problem, status=409):
    """A title was already made of this file."""

    file: str
    title_id: TitleId
    name: str
    episode_id: EpisodeId | None = None


class JobNotFound(Problem, status=404):
    """There is no such job."""

    job_id: JobId


class NoSpace(Problem, status=507):
    """There is not enough room on the disk."""

    needed_bytes: int
    free_bytes: int


class Encoding(Protocol):
    """Encodes masters into published assets."""

    @idempotent
    @long_running(limit_ms=60_000)
    async def inspect(
        self,
        *,
        path: str,
        audio: Sequence[SideFile] = (),
        subtitles: Sequence[SideFile] = (),
        title_id: TitleId | None = None,
        episode_id: EpisodeId | None = None,
        again: bool = False,
    ) -> Report:
        """Probe a master, check its side files and the free space, and report its streams.

        Raises Unusable with the file, the stream and the remedy; NoSpace; AlreadyIngested if a title or an episode
        other than the given one was made of the same content, unless `again`.
        """

    @idempotent
    @long_running(limit_ms=600_000)
    async def submit(self, *, order: Order) -> Job:
        """Inspect a master and queue its job. Idempotent while a job of the same title, episode and file is unfinished.

        Raises Unusable, NoSpace, AlreadyIngested, TitleNotFound.
        """

    @idempotent
    async def get_job(self, *, job_id: JobId) -> Job:
        """Return a job. Raises JobNotFound."""

    @idempotent
    async def list_jobs(
        self, *, state: JobState | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[Job]:
        """List jobs, newest first."""

    @idempotent
    async def cancel(self, *, job_id: JobId) -> Job:
        """Cancel a job; its finished steps stay. Idempotent. Raises JobNotFound."""

    async def retry(self, *, job_id: JobId) -> Job:
        """Queue a failed or cancelled job again; it continues after its finished steps. Raises JobNotFound."""
