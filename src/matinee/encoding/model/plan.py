"""The plan: everything that decides what an asset's bytes are, named before any work is done."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil

import msgspec

from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.source import MediaSource, Role
from matinee.kit.hashing import sha256_hex
from matinee.kit.ids import AssetId, EpisodeId, TitleId, derive

GOP_S = 2
GOPS_A_SEGMENT = 2
STEREO_BPS = 128_000
SURROUND_BPS = 384_000
# What changes bytes though no field below says so: raised with the code that makes them.
RECIPE = 1


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A run of whole groups of pictures, encoded by one process."""

    index: int
    first: int
    frames: int


class AudioTrackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An audio rendition to be made, of a stream of the object `source_key`."""

    track_id: str
    source_key: str
    stream: int
    language: str
    channels: int
    bps: int
    role: Role = "main"
    delay_us: int = 0


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Subtitles to be made: of a stream of the master, or of a file of their own where `stream` is None."""

    track_id: str
    source_key: str
    language: str
    role: str = "subtitle"
    stream: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is made of one master. `frames` is counted: what the joined renditions must hold."""

    source_key: str
    source: MediaSource
    frames: int
    rungs: tuple[Rung, ...]
    sounds: tuple[AudioTrackPlan, ...]
    texts: tuple[Text, ...]
    chunk_s: int
    recipe: int = RECIPE

    @property
    def duration_s(self) -> Fraction:
        """How long the picture is."""
        return self.frames / self.source.frame_rate

    @property
    def duration_ms(self) -> int:
        """How long the picture is, in whole milliseconds."""
        return round(self.duration_s * 1000)

    @property
    def gop_frames(self) -> int:
        """Frames from one keyframe to the next; the same in every rung, so that a player may switch at each."""
        return max(1, round(self.source.frame_rate * GOP_S))

    @property
    def keyframes(self) -> range:
        """The keyframe list that every rung is held to."""
        return range(0, self.frames, self.gop_frames)

    @property
    def segment_s(self) -> Fraction:
        """The length of a segment."""
        return GOPS_A_SEGMENT * self.gop_frames / self.source.frame_rate

    @property
    def timescale(self) -> int:
        """Ticks a second in which a frame is a whole number of ticks, at least 10,000."""
        rate = self.source.frame_rate.numerator
        return rate * ceil(10_000 / rate)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The film cut into runs of whole groups, as even as can be."""
        return cut(self.frames, self.gop_frames, round(self.chunk_s * self.source.frame_rate))

    def fingerprint(self) -> str:
        """The same for the same plan, always."""
        return sha256_hex(msgspec.json.encode(self))

    def asset_id(self, title_id: TitleId, episode_id: EpisodeId | None) -> AssetId:
        """The same source, plan and title make the same asset."""
        return derive(AssetId, title_id, episode_id or "", self.fingerprint())


def cut(frames: int, gop_frames: int, chunk_frames: int) -> tuple[Chunk, ...]:
    """Cut at group boundaries into the fewest even chunks that are not much longer than `chunk_frames`."""
    groups = -(-frames // gop_frames)
    count = max(1, min(groups, round(frames / max(1, chunk_frames))))
    edges = [min(frames, groups * n // count * gop_frames) for n in range(count + 1)]
    edges[-1] = frames
    return tuple(Chunk(index=n, first=a, frames=b - a) for n, (a, b) in enumerate(pairwise(edges)))
