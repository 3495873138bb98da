"""Only what this device can decode."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from matinee.catalogue.api import Asset, AudioTrack, VideoTrack
from matinee.licensing.api import Label, choose_key_label
from matinee.playback.api import Capabilities, NoRendition

# Two names of one codec: parameter sets beside the samples, or among them.
_FAMILIES = {"avc3": "avc1", "hev1": "hvc1", "vp9": "vp09"}


def family(codec: str) -> str:
    """The codec family of an RFC 6381 codec string: `avc1` of `avc3.64001f`."""
    name = codec.partition(".")[0].lower()
    return _FAMILIES.get(name, name)


def fitting(asset: Asset, capabilities: Capabilities) -> Asset:
    """The asset with only the renditions and the sound a device can decode. Raises NoRendition."""
    families = {family(name) for name in (*capabilities.video, *capabilities.audio)}
    video = [track for track in asset.video if family(track.codec) in families and _visible(track, capabilities)]
    audio = [t for t in asset.audio if family(t.codec) in families and t.channels <= capabilities.max_channels]
    if not video or (asset.audio and not audio):
        raise NoRendition(offered=_named(asset))
    return replace(asset, video=video, audio=audio)


def labels(asset: Asset) -> tuple[Label, ...]:
    """The kinds of key that an asset's tracks are encrypted with."""
    found: dict[Label, None] = {}
    for audio in asset.audio:
        if audio.key_id is not None:
            found["AUDIO"] = None
    for video in asset.video:
        if video.key_id is not None:
            found[_key_label(video)] = None
    return tuple(found)


def _visible(track: VideoTrack, capabilities: Capabilities) -> bool:
    return track.height_px <= capabilities.max_height_px and (capabilities.hdr or track.range == "SDR")


def _key_label(track: VideoTrack) -> Label:
    if track.key_label:
        return cast("Label", track.key_label)
    return choose_key_label(track.height_px)  # stored before tracks had labels


def _named(asset: Asset) -> list[str]:
    video = [f"{track.codec} {track.height_px} lines {track.range}" for track in asset.video]
    return video + [_sound(track) for track in asset.audio]


def _sound(track: AudioTrack) -> str:
    return f"{track.codec} {track.channels} channels"
