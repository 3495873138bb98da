"""Selection of the tracks that a device can decode."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from matinee.catalogue.api import Asset, VideoTrack
from matinee.licensing.api import Label, choose_key_label
from matinee.playback.api import Capabilities, NoRendition

# Sample entries of one codec, with parameter sets in the samples or beside them.
_FAMILIES = {"avc3": "avc1", "hev1": "hvc1", "vp9": "vp09"}


def get_codec_family(codec: str) -> str:
    """Return the codec family of an RFC 6381 codec string: `avc1` for `avc3.64001f`."""
    name = codec.partition(".")[0].lower()
    return _FAMILIES.get(name, name)


def select_tracks(asset: Asset, capabilities: Capabilities) -> Asset:
    """Return the asset with only the video and audio tracks that a device can decode. Raises NoRendition."""
    families = {get_codec_family(name) for name in (*capabilities.video, *capabilities.audio)}
    video = [t for t in asset.video if get_codec_family(t.codec) in families and _is_displayable(t, capabilities)]
    audio = [
        t for t in asset.audio if get_codec_family(t.codec) in families and t.channels <= capabilities.max_channels
    ]
    if not video or (asset.audio and not audio):
        raise NoRendition(offered=_describe_tracks(asset))
    return replace(asset, video=video, audio=audio)


def list_key_labels(asset: Asset) -> tuple[Label, ...]:
    """List the labels of the content keys of an asset's tracks."""
    audio: list[Label] = ["AUDIO" for track in asset.audio if track.key_id is not None]
    video = [_get_key_label(track) for track in asset.video if track.key_id is not None]
    return tuple(dict.fromkeys([*audio, *video]))


def _get_key_label(track: VideoTrack) -> Label:
    if track.key_label:
        return cast("Label", track.key_label)
    return choose_key_label(track.height_px)  # stored before tracks had labels


def _is_displayable(track: VideoTrack, capabilities: Capabilities) -> bool:
    return track.height_px <= capabilities.max_height_px and (capabilities.hdr or track.range == "SDR")


def _describe_tracks(asset: Asset) -> list[str]:
    video = [f"{track.codec} {track.height_px} lines {track.range}" for track in asset.video]
    return video + [f"{track.codec} {track.channels} channels" for track in asset.audio]
