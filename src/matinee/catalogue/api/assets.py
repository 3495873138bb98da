"""The encoded tracks of a film or an episode."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Literal

import msgspec

from matinee.kit.ids import AssetId, EpisodeId, TitleId


class SegmentRun(msgspec.Struct, frozen=True, array_like=True):
    """`count` segments, in the track's timescale.

    The first lasts for `duration`, the next for those in `following`, and so on in a cycle: segments of whole frames of
    sound alternate between few durations.
    """

    start: int
    duration: int
    count: int = 1
    following: tuple[int, ...] = ()

    @property
    def durations(self) -> Iterator[int]:
        """The duration of each segment."""
        return islice(cycle((self.duration, *self.following)), self.count)


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One CMAF track. `media` contains `$Number$`, counted from 1; paths are relative to the asset's prefix.

    `key_label` names the content key (`licensing.api.Label`); it is empty in assets stored before it existed.
    """

    track_id: str
    codec: str
    bandwidth_bps: int
    timescale: int
    init: str
    media: str
    segments: list[SegmentRun]
    key_id: str | None = None
    key_label: str = ""
    size_bytes: int = 0


class VideoTrack(Track, frozen=True, kw_only=True):
    """A rendition. `iframes`: the packed sizes (`kit.packing`) of segments up to the end of their first picture."""

    width_px: int
    height_px: int
    frame_rate: str  # a fraction such as `30000/1001`
    average_bandwidth_bps: int = 0
    range: Literal["SDR", "HDR10", "HLG"] = "SDR"
    iframes: bytes = b""


class AudioTrack(Track, frozen=True, kw_only=True):
    """A sound in one channel layout; `number` tells the sounds of one language, role and label apart."""

    language: str
    channels: int
    sample_rate_hz: int
    role: Literal["main", "commentary", "description"] = "main"
    label: str = ""
    number: int = 1


class TextSegments(msgspec.Struct, frozen=True, kw_only=True):
    """Subtitles in segments (`wvtt` in fragmented MP4), named like those of a `Track`."""

    bandwidth_bps: int
    timescale: int
    init: str
    media: str
    segments: list[SegmentRun]


class TextTrack(msgspec.Struct, frozen=True, kw_only=True):
    """Subtitles as one WebVTT file and, unless the asset was made before there were any, in segments."""

    track_id: str
    language: str
    path: str
    role: Literal["subtitle", "caption", "forced"] = "subtitle"
    label: str = ""
    segmented: TextSegments | None = None


class Thumbnails(msgspec.Struct, frozen=True, kw_only=True):
    """Sheets of thumbnails for seeking; `media` contains `$Number$`, counted from 1."""

    media: str
    columns: int
    rows: int
    width_px: int
    height_px: int
    interval_ms: int
    sheets: int


class Chapter(msgspec.Struct, frozen=True):
    """Where a chapter of a film begins; `name` is empty where the master names none."""

    start_ms: int
    name: str = ""


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """The encoded tracks of one film or episode; its objects are stored under `prefix` (`assets/<asset_id>/`)."""

    asset_id: AssetId
    title_id: TitleId
    prefix: str
    duration_ms: int
    video: list[VideoTrack]
    audio: list[AudioTrack] = []
    text: list[TextTrack] = []
    thumbnails: Thumbnails | None = None
    chapters: list[Chapter] = []
    episode_id: EpisodeId | None = None
    scheme: Literal["cbcs", "cenc", "none"] = "cbcs"
