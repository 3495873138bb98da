"""HLS (RFC 8216bis): a multivariant playlist, one media playlist a track, and content steering between edges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from matinee.catalogue.api import Asset, AudioTrack, TextTrack, Track, VideoTrack
from matinee.kit.ids import EdgeId
from matinee.playback.api import Delivery
from matinee.playback.model.capabilities import family

CONTENT_TYPE = "application/vnd.apple.mpegurl"
STEERING_TYPE = "application/json"
STEERING_NAME = "steering.json"
_BETWEEN = "~"  # between a track and an edge in a playlist's name
_STEERING_S = 60
_DESCRIBES_VIDEO = "public.accessibility.describes-video"
_RANGES = {"SDR": "SDR", "HDR10": "PQ", "HLG": "HLG"}
_SILENT: list[tuple[str, int] | None] = [None]  # the one "layout" of a film without sound
_CAPTIONS = "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound"


def master(asset: Asset, deliveries: Sequence[Delivery], original_language: str) -> bytes:
    """The multivariant playlist: every variant on every edge, an edge being a pathway."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    first = deliveries[0].edge_id
    lines.append(f'#EXT-X-CONTENT-STEERING:SERVER-URI="{STEERING_NAME}",PATHWAY-ID="{first}"')
    for delivery in deliveries:
        lines += _pathway(asset, delivery.edge_id, original_language)
    return _text(lines)


def media(asset: Asset, track: Track, base_url: str, key_folder: str) -> bytes:
    """One track's playlist; `key_folder` is the path in front of a key id on the gateway."""
    durations = [run.duration / track.timescale for run in track.segments for _ in range(run.count)]
    lines = _head(max(durations))
    if track.key_id is not None:
        method = "SAMPLE-AES" if asset.scheme == "cbcs" else "SAMPLE-AES-CTR"
        uri = key_folder + track.key_id
        lines.append(f'#EXT-X-KEY:METHOD={method},URI="{uri}",KEYFORMAT="identity",KEYFORMATVERSIONS="1"')
    lines.append(f'#EXT-X-MAP:URI="{base_url}{track.init}"')
    for number, duration in enumerate(durations, start=1):
        lines.append(f"#EXTINF:{duration:.6f},")
        lines.append(base_url + track.media.replace("$Number$", str(number)))
    return _text([*lines, "#EXT-X-ENDLIST"])


def text(asset: Asset, track: TextTrack, base_url: str) -> bytes:
    """Subtitles' playlist: one file, as long as the film."""
    seconds = asset.duration_ms / 1000
    return _text([*_head(seconds), f"#EXTINF:{seconds:.3f},", base_url + track.path, "#EXT-X-ENDLIST"])


def steering(deliveries: Sequence[Delivery]) -> bytes:
    """The steering manifest: edges in the order they are to be used, to be asked for again in a minute."""
    pathways = [delivery.edge_id for delivery in deliveries]
    document = {"VERSION": 1, "TTL": _STEERING_S, "RELOAD-URI": STEERING_NAME, "PATHWAY-PRIORITY": pathways}
    return msgspec.json.encode(document)


def playlist_name(track_id: str, edge_id: EdgeId) -> str:
    """The name of a track's playlist on an edge."""
    return f"{track_id}{_BETWEEN}{edge_id}.m3u8"


def named(name: str) -> tuple[str, EdgeId | None]:
    """The track a playlist's name means, and the edge where it names one."""
    track_id, _, edge_id = name.removesuffix(".m3u8").partition(_BETWEEN)
    return track_id, EdgeId(edge_id) if edge_id else None


def _pathway(asset: Asset, edge_id: EdgeId, original_language: str) -> Iterator[str]:
    layouts = sorted({(family(track.codec), track.channels) for track in asset.audio})
    for layout in layouts:
        yield from _sounds(asset.audio, layout, edge_id, original_language)
    names: set[str] = set()
    for track in asset.text:
        yield _subtitles(track, _unlike(track.label or track.language, names), edge_id)
    for video in sorted(asset.video, key=lambda track: track.bandwidth_bps):
        for sound in layouts or _SILENT:
            yield _variant(asset, video, sound, edge_id)
            yield playlist_name(video.track_id, edge_id)


def _group(audio: Sequence[AudioTrack], layout: tuple[str, int]) -> list[AudioTrack]:
    """What belongs to a group: of every language and role the sound that comes nearest to the group's layout."""
    nearest: dict[tuple[str, str, str], AudioTrack] = {}
    codec, channels = layout
    for track in sorted(audio, key=lambda t: (t.channels <= channels, t.channels, family(t.codec) == codec)):
        nearest[track.language, track.role, track.label] = track
    return list(nearest.values())


def _sounds(
    audio: Sequence[AudioTrack], layout: tuple[str, int], edge_id: EdgeId, original_language: str
) -> Iterator[str]:
    names: set[str] = set()
    group = sorted(_group(audio, layout), key=lambda track: (track.language != original_language, track.role != "main"))
    for at, track in enumerate(group):
        characteristics = f',CHARACTERISTICS="{_DESCRIBES_VIDEO}"' if track.role == "description" else ""
        yield (
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_audio_group(layout, edge_id)}"'
            f',NAME="{_unlike(track.label or track.language, names)}",LANGUAGE="{track.language}"'
            f",DEFAULT={'NO' if at else 'YES'},AUTOSELECT={'YES' if track.role != 'commentary' else 'NO'}"
            f'{characteristics},CHANNELS="{track.channels}",URI="{playlist_name(track.track_id, edge_id)}"'
        )


def _subtitles(track: TextTrack, name: str, edge_id: EdgeId) -> str:
    characteristics = f',CHARACTERISTICS="{_CAPTIONS}"' if track.role == "caption" else ""
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text~{edge_id}",NAME="{name}",LANGUAGE="{track.language}"'
        f",DEFAULT=NO,AUTOSELECT=YES,FORCED={'YES' if track.role == 'forced' else 'NO'}{characteristics}"
        f',URI="{playlist_name(track.track_id, edge_id)}"'
    )


def _variant(asset: Asset, video: VideoTrack, layout: tuple[str, int] | None, edge_id: EdgeId) -> str:
    sounds = _group(asset.audio, layout) if layout is not None else []
    loudest = max((track.bandwidth_bps for track in sounds), default=0)
    codecs = ",".join(dict.fromkeys([video.codec, *(track.codec for track in sounds)]))
    about = [
        f"BANDWIDTH={video.bandwidth_bps + loudest}",
        f"AVERAGE-BANDWIDTH={(video.average_bandwidth_bps or video.bandwidth_bps) + loudest}",
        f'CODECS="{codecs}"',
        f"RESOLUTION={video.width_px}x{video.height_px}",
        f"FRAME-RATE={_rate(video.frame_rate):.3f}",
        f"VIDEO-RANGE={_RANGES[video.range]}",
        f'PATHWAY-ID="{edge_id}"',
    ]
    if layout is not None:
        about.append(f'AUDIO="{_audio_group(layout, edge_id)}"')
    if asset.text:
        about.append(f'SUBTITLES="text~{edge_id}"')
    return f"#EXT-X-STREAM-INF:{','.join(about)},CLOSED-CAPTIONS=NONE"


def _audio_group(layout: tuple[str, int], edge_id: EdgeId) -> str:
    return f"{layout[0]}-{layout[1]}~{edge_id}"


def _unlike(name: str, names: set[str]) -> str:
    """A name that no other of its group has, without what may not stand in a quoted string."""
    clean = " ".join(name.replace('"', "'").split()) or "?"
    found, count = clean, 1
    while found in names:
        count += 1
        found = f"{clean} {count}"
    names.add(found)
    return found


def _rate(fraction: str) -> float:
    over, _, under = fraction.partition("/")
    return int(over) / int(under or 1)


def _head(longest_s: float) -> list[str]:
    target = max(1, math.ceil(longest_s))
    return ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{target}", "#EXT-X-PLAYLIST-TYPE:VOD"]


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
