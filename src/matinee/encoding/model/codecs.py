"""Video codecs of renditions. To add a codec, add an entry to `CODECS`."""

from __future__ import annotations

import msgspec


class VideoCodec(msgspec.Struct, frozen=True, kw_only=True):
    """A codec, its RFC 6381 sample entry and how FFmpeg encodes it.

    `track_prefix` keeps track ids of different codecs apart. `arguments` are FFmpeg's; they refer to the fields of a
    rung, `gop_frames` and `threads`.
    """

    name: str
    sample_entry: str
    container: str
    track_prefix: str
    arguments: str


H264 = VideoCodec(
    name="h264",
    sample_entry="avc1",
    container="mp4",
    track_prefix="avc",
    arguments=(
        "-c:v libx264 -preset {preset} -profile:v high -threads {threads} "
        "-crf {crf} -maxrate {max_bps} -bufsize {buffer_bits} "
        "-g {gop_frames} -keyint_min {gop_frames} -x264-params scenecut=0:open-gop=0"
    ),
)
CODECS = {codec.name: codec for codec in (H264,)}
