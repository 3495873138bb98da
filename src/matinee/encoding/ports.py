"""What encoding needs from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from matinee.catalogue.api import AudioTrack, TextSegments, TextTrack, Thumbnails, VideoTrack
from matinee.encoding.api import AudioStream, Job
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.pictures import FrameStats
from matinee.encoding.model.plan import AudioTrackPlan, Chunk, Plan
from matinee.encoding.model.source import MediaSource
from matinee.kit.ids import EpisodeId, JobId, TitleId
from matinee.licensing.api import ContentKey
from matinee.mesh.queue.ports import WorkQueue

OnProgress: TypeAlias = Callable[[int], None]
JobStore: TypeAlias = WorkQueue[Job]


class IngestedSource(msgspec.Struct, frozen=True, kw_only=True):
    """What was last made of a file's content, and by which job."""

    title_id: TitleId
    job_id: JobId
    episode_id: EpisodeId | None = None


class SourceStore(Protocol):
    """The files that were ingested, by the fingerprint of their content."""

    async def find(self, *, fingerprint: str) -> IngestedSource | None:
        """Return what was last made of a file's content."""

    async def save(self, *, fingerprint: str, source: IngestedSource) -> None:
        """Store what is made of a file's content; it replaces what was stored."""


class Blobs(Protocol):
    """The object store. Methods that write raise NoSpace."""

    async def put(self, *, key: str, data: bytes) -> None:
        """Store bytes under a key, atomically."""

    async def put_file(self, *, key: str, path: Path, move: bool = False, copy_of: str = "") -> None:
        """Store a file under a key, atomically; `move` gives the file away where that is cheaper.

        `copy_of`: the key of an object with the same content, which a remote store copies instead of an upload.
        """

    async def get(self, *, key: str) -> bytes | None:
        """Return an object's bytes, or None where it does not exist."""

    async def get_size(self, *, key: str) -> int | None:
        """Return an object's size in bytes, or None where it does not exist."""

    async def fetch(self, *, key: str, into: Path) -> Path | None:
        """Return a local file with the object's content, downloaded into a folder only if remote; None: no object."""

    async def get_free_bytes(self) -> int | None:
        """Return the free space above the reserve, which may be used up, or None where there is no limit."""

    async def delete(self, *, prefix: str) -> None:
        """Delete every object below a prefix. Idempotent."""


class MediaToolFailed(Exception):
    """A media tool exited with an error or timed out.

    `repeats` is whether it would fail again: it ended by itself and not for lack of space.
    """

    def __init__(self, message: str, *, disk_full: bool = False, repeats: bool = False) -> None:
        super().__init__(message)
        self.disk_full = disk_full
        self.repeats = repeats


class Prober(Protocol):
    """Analyses media files. Raises MediaToolFailed."""

    async def probe(self, *, path: Path, name: str) -> MediaSource:
        """Probe a master; `name` is its name in error messages. Raises Unusable."""

    async def probe_audio(self, *, path: Path, name: str) -> list[AudioStream]:
        """List the audio streams of a file. Raises Unusable where there are none."""

    async def survey(self, *, original: Path, path: Path, source: MediaSource, progress: OnProgress) -> MediaSource:
        """Decode the whole picture, and return the source with what only its frames tell.

        `path` is the file that is encoded: the original, or its copy (`Encoder.remux`). The source has no
        `picture_frames` where no frame can be decoded.
        """

    async def list_keyframes(self, *, path: Path) -> tuple[int, list[int]]:
        """Count the frames of an encoded picture, and list those that are keyframes."""


class Loudness(msgspec.Struct, frozen=True):
    """Integrated loudness in LUFS and true peak in dBTP.

    Where the layout or the sample rate `changes` in the middle, the figures are those of the last part. Of a `damaged`
    sound parts cannot be decoded.
    """

    integrated_lufs: float
    true_peak_dbtp: float
    changes: bool = False
    damaged: bool = False


class Encoder(Protocol):
    """Encodes tracks. Raises MediaToolFailed."""

    async def remux(self, *, master: Path, source: MediaSource, out: Path) -> None:
        """Copy the streams of `source.remux`, in this order, into a file with an index and one clock."""

    async def encode_chunk(
        self,
        *,
        master: Path,
        plan: Plan,
        chunk: Chunk,
        outputs: Mapping[Rung, Path],
        threads: int,
        progress: OnProgress,
    ) -> None:
        """Encode a chunk of several rungs in one decode, each into its file; the files are in one folder."""

    async def join_chunks(self, *, parts: Sequence[Path], timescale: int, out: Path) -> None:
        """Join the chunks of a rung without re-encoding."""

    async def unify_sound(self, *, master: Path, track: AudioTrackPlan, out: Path) -> None:
        """Write a sound whose parameters change as the only stream of a file, in the channel layout of the track."""

    async def measure_loudness(self, *, master: Path, track: AudioTrackPlan) -> Loudness:
        """Measure a stream in the channel layout of the track."""

    async def encode_audio(
        self, *, master: Path, track: AudioTrackPlan, gain_db: float, duration_s: float, out: Path
    ) -> None:
        """Encode an audio track with the duration of the picture."""

    async def extract_subtitles(self, *, master: Path, stream: int, codec: str, out: Path) -> int:
        """Extract a subtitle stream into a file of its own kind (`TEXT_CODECS`), in the character set that it has.

        Captions inside a picture, or in a stream of their own, become WebVTT. Return how many milliseconds later the
        cues are than in the stream.
        """


class Stills(Protocol):
    """Makes images from an encoded film. Raises MediaToolFailed."""

    async def make_sheets(self, *, film: Path, thumbnails: Thumbnails, into: Path) -> int:
        """Make the thumbnail sheets `1.jpg`, `2.jpg`…, and return how many."""

    async def measure_frames(self, *, film: Path, keyframes: Sequence[int]) -> list[FrameStats]:
        """Measure some keyframes, given by number."""

    async def crop_frame(
        self, *, film: Path, time_ms: int, aspect: float, height_px: int, out: Path, stream: int | None = None
    ) -> tuple[int, int, str]:
        """Crop a frame to its most detailed part of a shape, at most so high; return its size and dominant colour.

        The frame is one of the best video stream, or of the given one.
        """


class Packaged(msgspec.Struct, frozen=True, kw_only=True):
    """Packaged tracks, and their files relative to the folder. `text` are the segments of subtitles, by track id."""

    video: list[VideoTrack]
    audio: list[AudioTrack]
    files: list[str]
    text: dict[str, TextSegments] = {}


class Packager(Protocol):
    """Packages encoded files as encrypted CMAF. Raises MediaToolFailed."""

    async def package(
        self,
        *,
        plan: Plan,
        video: Sequence[Path],
        audio: Sequence[Path],
        text: Sequence[tuple[TextTrack, Path]],
        keys: Sequence[ContentKey],
        into: Path,
    ) -> Packaged:
        """Package every rung and audio track of a plan and its subtitles, each in a folder of its own."""
