"""HLS (RFC 8216bis): a multivariant playlist, one media playlist a track, and content steering between edges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from matinee.catalogue.api import Asset, AudioTrack, TextTrack, Track, VideoTrack
from matinee.kit.ids import EdgeId
from matinee.playback.api import Delivery
from matinee.playback.model.capabilities import get_codec_family

CONTENT_TYPE = "application/vnd.apple.mpegurl"
STEERING_TYPE = "application/json"
STEERING_NAME = "steering.json"
_SEPARATOR = "~"  # between track id and edge id in a playlist's name
_STEERING_S = 60
_DESCRIBES_VIDEO = "public.accessibility.describes-video"
_RANGES = {"SDR": "SDR", "HDR10": "PQ", "HLG": "HLG"}
_NO_LAYOUT: list[tuple[str, int] | None] = [None]  # the audio layouts of a film without audio
_CAPTIONS = "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound"


def render_master(asset: Asset, deliveries: Sequence[Delivery], original_language: str) -> bytes:
    """Render the multivariant playlist: every variant on every edge; an edge is a pathway."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    first = deliveries[0].edge_id
    lines.append(f'#EXT-X-CONTENT-STEERING:SERVER-URI="{STEERING_NAME}",PATHWAY-ID="{first}"')
    for delivery in deliveries:
        lines += _render_pathway(asset, delivery.edge_id, original_language)
    return _encode(lines)


def render_media(asset: Asset, track: Track, base_url: str, key_folder: str) -> bytes:
    """Render the playlist of a track; key ids are appended to `key_folder`."""
    durations = [run.duration / track.timescale for run in track.segments for _ in range(run.count)]
    lines = _render_head(max(durations))
    if track.key_id is not None:
        method = "SAMPLE-AES" if asset.scheme == "cbcs" else "SAMPLE-AES-CTR"
        uri = key_folder + track.key_id
        lines.append(f'#EXT-X-KEY:METHOD={method},URI="{uri}",KEYFORMAT="identity",KEYFORMATVERSIONS="1"')
    lines.append(f'#EXT-X-MAP:URI="{base_url}{track.init}"')
    for number, duration in enumerate(durations, start=1):
        lines.append(f"#EXTINF:{duration:.6f},")
        lines.append(base_url + track.media.replace("$Number$", str(number)))
    return _encode([*lines, "#EXT-X-ENDLIST"])


def render_text(asset: Asset, track: TextTrack, base_url: str) -> bytes:
    """Render the playlist of a subtitle track: one file with the duration of the film."""
    seconds = asset.duration_ms / 1000
    return _encode([*_render_head(seconds), f"#EXTINF:{seconds:.3f},", base_url + track.path, "#EXT-X-ENDLIST"])


def render_steering(deliveries: Sequence[Delivery]) -> bytes:
    """Render the steering manifest: edges in order of preference, to be reloaded every minute."""
    pathways = [delivery.edge_id for delivery in deliveries]
    document = {"VERSION": 1, "TTL": _STEERING_S, "RELOAD-URI": STEERING_NAME, "PATHWAY-PRIORITY": pathways}
    return msgspec.json.encode(document)


def build_playlist_name(track_id: str, edge_id: EdgeId) -> str:
    """Build the name of a track's playlist on an edge."""
    return f"{track_id}{_SEPARATOR}{edge_id}.m3u8"


def parse_playlist_name(name: str) -> tuple[str, EdgeId | None]:
    """Return the track id in a playlist's name, and the edge id, if any."""
    track_id, _, edge_id = name.removesuffix(".m3u8").partition(_SEPARATOR)
    return track_id, EdgeId(edge_id) if edge_id else None


def _render_pathway(asset: Asset, edge_id: EdgeId, original_language: str) -> Iterator[str]:
    layouts = sorted({(get_codec_family(track.codec), track.channels) for track in asset.audio})
    for layout in layouts:
        yield from _render_audio(asset.audio, layout, edge_id, original_language)
    names: set[str] = set()
    for track in asset.text:
        yield _render_subtitles(track, _make_unique(track.label or track.language, names), edge_id)
    for video in sorted(asset.video, key=lambda track: track.bandwidth_bps):
        for audio_layout in layouts or _NO_LAYOUT:
            yield _render_variant(asset, video, audio_layout, edge_id)
            yield build_playlist_name(video.track_id, edge_id)


def _choose_group(audio: Sequence[AudioTrack], layout: tuple[str, int]) -> list[AudioTrack]:
    """Choose a group's tracks: in every language and role, the one nearest to the layout."""
    nearest: dict[tuple[str, str, str], AudioTrack] = {}
    codec, channels = layout
    for track in sorted(audio, key=lambda t: (t.channels <= channels, t.channels, get_codec_family(t.codec) == codec)):
        nearest[track.language, track.role, track.label] = track
    return list(nearest.values())


def _render_audio(
    audio: Sequence[AudioTrack], layout: tuple[str, int], edge_id: EdgeId, original_language: str
) -> Iterator[str]:
    names: set[str] = set()
    group = sorted(
        _choose_group(audio, layout), key=lambda track: (track.language != original_language, track.role != "main")
    )
    for at, track in enumerate(group):
        characteristics = f',CHARACTERISTICS="{_DESCRIBES_VIDEO}"' if track.role == "description" else ""
        yield (
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_name_audio_group(layout, edge_id)}"'
            f',NAME="{_make_unique(track.label or track.language, names)}",LANGUAGE="{track.language}"'
            f",DEFAULT={'NO' if at else 'YES'},AUTOSELECT={'YES' if track.role != 'commentary' else 'NO'}"
            f'{characteristics},CHANNELS="{track.channels}",URI="{build_playlist_name(track.track_id, edge_id)}"'
        )


def _render_subtitles(track: TextTrack, name: str, edge_id: EdgeId) -> str:
    characteristics = f',CHARACTERISTICS="{_CAPTIONS}"' if track.role == "caption" else ""
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text~{edge_id}",NAME="{name}",LANGUAGE="{track.language}"'
        f",DEFAULT=NO,AUTOSELECT=YES,FORCED={'YES' if track.role == 'forced' else 'NO'}{characteristics}"
        f',URI="{build_playlist_name(track.track_id, edge_id)}"'
    )


def _render_variant(asset: Asset, video: VideoTrack, layout: tuple[str, int] | None, edge_id: EdgeId) -> str:
    audio = _choose_group(asset.audio, layout) if layout is not None else []
    loudest = max((track.bandwidth_bps for track in audio), default=0)
    codecs = ",".join(dict.fromkeys([video.codec, *(track.codec for track in audio)]))
    about = [
        f"BANDWIDTH={video.bandwidth_bps + loudest}",
        f"AVERAGE-BANDWIDTH={(video.average_bandwidth_bps or video.bandwidth_bps) + loudest}",
        f'CODECS="{codecs}"',
        f"RESOLUTION={video.width_px}x{video.height_px}",
        f"FRAME-RATE={_parse_rate(video.frame_rate):.3f}",
        f"VIDEO-RANGE={_RANGES[video.range]}",
        f'PATHWAY-ID="{edge_id}"',
    ]
    if layout is not None:
        about.append(f'AUDIO="{_name_audio_group(layout, edge_id)}"')
    if asset.text:
        about.append(f'SUBTITLES="text~{edge_id}"')
    return f"#EXT-X-STREAM-INF:{','.join(about)},CLOSED-CAPTIONS=NONE"


def _name_audio_group(layout: tuple[str, int], edge_id: EdgeId) -> str:
    return f"{layout[0]}-{layout[1]}~{edge_id}"


def _make_unique(name: str, names: set[str]) -> str:
    """Return a name that is unique in its group and valid in a quoted string."""
    clean = " ".join(name.replace('"', "'").split()) or "?"
    unique, count = clean, 1
    while unique in names:
        count += 1
        unique = f"{clean} {count}"
    names.add(unique)
    return unique


def _parse_rate(fraction: str) -> float:
    over, _, under = fraction.partition("/")
    return int(over) / int(under or 1)


def _render_head(longest_s: float) -> list[str]:
    target = max(1, math.ceil(longest_s))
    return ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{target}", "#EXT-X-PLAYLIST-TYPE:VOD"]


def _encode(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
