"""What encoding needs of the outside, in its own words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec

from matinee.catalogue.api import AudioTrack, Thumbnails, VideoTrack
from matinee.encoding.api import AudioStream, Job, JobState
from matinee.encoding.model.pictures import Look
from matinee.encoding.model.plan import AudioTrackPlan, Chunk, Plan
from matinee.encoding.model.source import MediaSource
from matinee.events.api import FactRecord
from matinee.kit.ids import JobId
from matinee.kit.page import Page
from matinee.licensing.api import ContentKey

Progress: TypeAlias = Callable[[int], None]
Standing: TypeAlias = Literal["ours", "cancel", "lost"]


class JobStore(Protocol):
    """Jobs, and who works on which: a job is claimed for a while, kept by saving it, and free again after that."""

    async def add(self, *, job: Job, key: str) -> Job:
        """Queue a job; where one of the same key is under way, that one is told instead."""

    async def get(self, *, job_id: JobId) -> Job:
        """A job as it was last saved. Raises JobNotFound."""

    async def page(self, *, state: JobState | None, cursor: str | None, limit: int) -> Page[Job]:
        """Jobs, newest first."""

    async def claim(self, *, owner: str, now: datetime, lease_until: datetime) -> Job | None:
        """Take the most urgent job that nobody works on, oldest first; its `attempts` rise by one.

        A job whose cancellation nobody was left to see to is cancelled on the way.
        """

    async def save(
        self,
        *,
        job: Job,
        owner: str,
        lease_until: datetime | None = None,
        available_at: datetime | None = None,
        facts: Sequence[FactRecord] = (),
    ) -> Standing:
        """Save a job that `owner` has claimed, with facts, and go on with it until `lease_until`.

        In any state but `running` the claim ends; a queued job waits until `available_at`. Tells `lost`, and
        saves nothing, when the job is no longer the owner's; `cancel` when somebody asked for that.
        """

    async def cancel(self, *, job_id: JobId, now: datetime) -> Job:
        """Cancel a waiting job; ask whoever works on it to stop. Idempotent. Raises JobNotFound."""

    async def retry(self, *, job_id: JobId, now: datetime) -> Job:
        """Queue a failed or cancelled job again, unless one of its key is under way. Raises JobNotFound."""


class Blobs(Protocol):
    """The object store. Raises NoSpace from whatever writes."""

    async def put(self, *, key: str, data: bytes) -> None:
        """Store bytes under a key, whole or not at all."""

    async def put_file(self, *, key: str, path: Path, move: bool = False, held: str = "") -> None:
        """Store a file under a key, whole or not at all; `move` gives the file away where that is cheaper.

        `held`: the key of an object of the same content, for a store that copies it sooner than it takes the file.
        """

    async def get(self, *, key: str) -> bytes | None:
        """An object's bytes; None where there is none."""

    async def size(self, *, key: str) -> int | None:
        """An object's size in bytes; None where there is none."""

    async def local(self, *, key: str, into: Path) -> Path | None:
        """A file on this machine that holds the object, copied below `into` only where it must be; None: no object."""

    async def free_bytes(self) -> int | None:
        """How much more can be stored; None where there is no limit."""

    async def delete(self, *, prefix: str) -> None:
        """Drop every object below a prefix. Idempotent."""


class Prober(Protocol):
    """Says what media files hold."""

    async def probe(self, *, path: Path, name: str) -> MediaSource:
        """What a master holds; `name` is what it is called in a refusal. Raises Unusable."""

    async def count_frames(self, *, path: Path, source: MediaSource, progress: Progress) -> tuple[int, int]:
        """Decode the whole picture: how many frames it has, and how many at the plan's rate."""

    async def list_keyframes(self, *, path: Path) -> tuple[int, list[int]]:
        """How many frames an encoded picture holds, and which of them are keyframes."""

    async def probe_audio(self, *, path: Path, name: str) -> list[AudioStream]:
        """The sound streams of a file. Raises Unusable where there is none."""


class Loudness(msgspec.Struct, frozen=True):
    """Integrated loudness in LUFS and true peak in dBTP."""

    integrated_lufs: float
    true_peak_dbtp: float


class Encoder(Protocol):
    """Makes renditions."""

    async def encode_chunk(
        self, *, master: Path, plan: Plan, chunk: Chunk, into: Path, threads: int, progress: Progress
    ) -> list[Path]:
        """Encode a chunk of every rung, in one decode: one file a rung, in the ladder's order."""

    async def join_chunks(self, *, parts: Sequence[Path], timescale: int, out: Path) -> None:
        """Join the chunks of a rung, bit for bit."""

    async def measure_loudness(self, *, master: Path, sound: AudioTrackPlan) -> Loudness:
        """Measure a stream in the layout that it will have."""

    async def encode_audio(
        self, *, master: Path, sound: AudioTrackPlan, gain_db: float, duration_s: float, out: Path
    ) -> None:
        """Encode a stream, as long as the picture."""

    async def extract_subtitles(self, *, master: Path, stream: int, out: Path) -> None:
        """Take a stream of subtitles out as a WebVTT file."""


class Stills(Protocol):
    """Makes pictures out of an encoded film."""

    async def sheets(self, *, film: Path, thumbnails: Thumbnails, into: Path) -> int:
        """Make the sheets `1.jpg`, `2.jpg`…; tells how many."""

    async def looks(self, *, film: Path, keyframes: Sequence[int]) -> list[Look]:
        """How some keyframes look, by their number."""

    async def crop(self, *, film: Path, time_ms: int, aspect: float, height_px: int, out: Path) -> tuple[int, int, str]:
        """A frame cut to a shape where most is to be seen, at most so high: its size and dominant colour."""


class Packaged(msgspec.Struct, frozen=True, kw_only=True):
    """What the packager made, below its folder."""

    video: list[VideoTrack]
    audio: list[AudioTrack]
    files: list[str]


class Packager(Protocol):
    """Makes encrypted CMAF of encoded files."""

    async def package(
        self, *, plan: Plan, rungs: Sequence[Path], sounds: Sequence[Path], keys: Sequence[ContentKey], into: Path
    ) -> Packaged:
        """Package every rung and sound of a plan, each in a folder named by its track."""
