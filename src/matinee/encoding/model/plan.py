"""The plan: every input that decides the bytes of an asset, fixed before any encoding."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Literal, TypeAlias

import msgspec

from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.source import MediaSource, Role
from matinee.kit.hashing import sha256_hex
from matinee.kit.ids import AssetId, EpisodeId, TitleId, derive

TextRole: TypeAlias = Literal["subtitle", "caption", "forced"]
GOP_S = 2
GOPS_PER_SEGMENT = 2
STEREO_BPS = 128_000
SURROUND_BPS = 384_000
# Of a file that marks every scene only so many chapters are shown.
MAX_CHAPTERS = 200
# Version of the encoding code: raise it when the same plan gives other bytes.
RECIPE = 5


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A range of frames that one process encodes: whole groups of pictures."""

    first: int
    frames: int


class AudioTrackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An audio track to encode from a stream of the object `source_key`, or from several of one channel each.

    `number` tells the sounds of one language and role apart; the layouts of a sound have the same.
    """

    track_id: str
    source_key: str
    streams: tuple[int, ...]
    language: str
    channels: int
    bps: int
    role: Role = "main"
    label: str = ""
    number: int = 1
    delay_us: int = 0


class TextTrackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A subtitle track to make from a stream of the master, or from a side file where `stream` is None.

    `codec` is the stream's, or `captions` for those inside the picture.
    """

    track_id: str
    source_key: str
    language: str
    role: TextRole = "subtitle"
    label: str = ""
    stream: int | None = None
    codec: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The tracks to make of one master. Each rendition must have exactly `frames` frames.

    They are those of the picture at the constant rate, and those that hold its last frame to the end of the sound.
    """

    source_key: str
    source: MediaSource
    frames: int
    rungs: tuple[Rung, ...]
    audio: tuple[AudioTrackPlan, ...] = ()
    text: tuple[TextTrackPlan, ...] = ()
    chunk_s: int
    recipe: int = RECIPE

    @property
    def duration_s(self) -> Fraction:
        """The duration of the picture."""
        return self.frames / self.source.frame_rate

    @property
    def duration_ms(self) -> int:
        """The duration of the picture in whole milliseconds."""
        return round(self.duration_s * 1000)

    @property
    def picture_frames(self) -> int:
        """The frames that are not repetitions of the last one."""
        return min(self.frames, self.source.picture_frames or self.frames)

    @property
    def chapters(self) -> list[tuple[int, str]]:
        """The starts of chapters in milliseconds of the picture, with their names; none where there is only one."""
        starts = {
            max(0, round((mark.start_us - self.source.start_us) / 1000)): mark.title for mark in self.source.chapters
        }
        shown = [(start_ms, name) for start_ms, name in sorted(starts.items()) if start_ms < self.duration_ms]
        return shown[:MAX_CHAPTERS] if len(shown) > 1 else []

    @property
    def gop_frames(self) -> int:
        """Frames between keyframes; the same in every rung, so that a player can switch at each."""
        return max(1, round(self.source.frame_rate * GOP_S))

    @property
    def keyframes(self) -> range:
        """The keyframes that every rendition must have."""
        return range(0, self.frames, self.gop_frames)

    @property
    def segment_s(self) -> Fraction:
        """The duration of a segment."""
        return GOPS_PER_SEGMENT * self.gop_frames / self.source.frame_rate

    @property
    def timescale(self) -> int:
        """Ticks per second, at least 10,000, such that a frame is a whole number of ticks."""
        rate = self.source.frame_rate.numerator
        return rate * ceil(10_000 / rate)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The chunks of the film, as even as possible."""
        return split_frames(self.frames, self.gop_frames, round(self.chunk_s * self.source.frame_rate))

    def compute_asset_id(self, title_id: TitleId, episode_id: EpisodeId | None) -> AssetId:
        """Return the asset's id. It does not depend on the ladder, so that an asset can gain renditions."""
        rest = msgspec.structs.replace(self, rungs=(), chunk_s=0)
        return derive(AssetId, title_id, episode_id or "", sha256_hex(msgspec.json.encode(rest)))

    def build_chunk_key(self, rung: Rung, chunk: Chunk) -> object:
        """Return everything that decides the bytes of a chunk of a rung."""
        return self.recipe, self.source_key, self.source, rung, chunk


def split_frames(frames: int, gop_frames: int, chunk_frames: int) -> tuple[Chunk, ...]:
    """Cut at group boundaries into the fewest even chunks that are not much longer than `chunk_frames`."""
    groups = -(-frames // gop_frames)
    count = max(1, min(groups, round(frames / max(1, chunk_frames))))
    edges = [min(frames, groups * n // count * gop_frames) for n in range(count + 1)]
    edges[-1] = frames
    return tuple(Chunk(first=a, frames=b - a) for a, b in pairwise(edges))
