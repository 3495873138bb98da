"""HLS (RFC 8216bis): a multivariant playlist, one media playlist a track, and content steering between edges."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from matinee.catalogue.api import Asset, AudioTrack, TextTrack, Track, VideoTrack
from matinee.kit.ids import EdgeId
from matinee.kit.packing import unpack_sizes
from matinee.playback.api import Delivery, KeyFormat
from matinee.playback.model import names
from matinee.playback.model.capabilities import get_codec_family

CONTENT_TYPE = "application/vnd.apple.mpegurl"
STEERING_TYPE = "application/json"
STEERING_NAME = "steering.json"
_SEPARATOR = "~"  # between the parts of a playlist's name
_IFRAMES = "iframes"
_QUERIES: dict[KeyFormat, str] = {"identity": "", "clearkey": "?keys=clearkey"}
_STEERING_S = 60
# Where the addresses belong in a template.
_BASE_URL, _KEY_FOLDER = "\0base", "\0keys"
_DESCRIBES_VIDEO = "public.accessibility.describes-video"
_RANGES = {"SDR": "SDR", "HDR10": "PQ", "HLG": "HLG"}
_NO_LAYOUT: list[tuple[str, int] | None] = [None]  # the audio layouts of a film without audio
_CAPTIONS = "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound"


def render_master(asset: Asset, edge_ids: Sequence[EdgeId], original_language: str, key_format: KeyFormat) -> bytes:
    """Render the multivariant playlist: every variant on every edge, best first; an edge is a pathway."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines.append(f'#EXT-X-CONTENT-STEERING:SERVER-URI="{STEERING_NAME}",PATHWAY-ID="{edge_ids[0]}"')
    for edge_id in edge_ids:
        lines += _render_pathway(asset, _Pathway(edge_id, _QUERIES[key_format]), original_language)
    return _encode(lines)


def render_media(asset: Asset, track: Track, key_format: KeyFormat) -> bytes:
    """Render the playlist of a track without the addresses, which `fill_template` adds."""
    lines = _render_track_head(asset, track, key_format)
    for number, duration in enumerate(_list_durations(track), start=1):
        lines.append(f"#EXTINF:{duration:.6f},")
        lines.append(_BASE_URL + track.media.replace("$Number$", str(number)))
    return _encode([*lines, "#EXT-X-ENDLIST"])


def render_iframes(asset: Asset, track: VideoTrack, key_format: KeyFormat) -> bytes:
    """Render the playlist of a rendition's I-frames for scrubbing: the first picture of each segment.

    It is a template, as that of `render_media`.
    """
    lines = _render_track_head(asset, track, key_format, "#EXT-X-I-FRAMES-ONLY")
    for number, (duration, size) in enumerate(zip(_list_durations(track), unpack_sizes(track.iframes), strict=True), 1):
        lines += [f"#EXTINF:{duration:.6f},", f"#EXT-X-BYTERANGE:{size}@0"]
        lines.append(_BASE_URL + track.media.replace("$Number$", str(number)))
    return _encode([*lines, "#EXT-X-ENDLIST"])


def fill_template(template: bytes, base_url: str, key_folder: str) -> bytes:
    """Return the playlist of a track with the address of its segments, and of the folder of its key."""
    return template.replace(_KEY_FOLDER.encode(), key_folder.encode()).replace(_BASE_URL.encode(), base_url.encode())


def render_text(asset: Asset, track: TextTrack) -> bytes:
    """Render the playlist of a subtitle track: one file with the duration of the film.

    It is a template, as that of `render_media`.
    """
    seconds = asset.duration_ms / 1000
    head = _render_head(_round_duration(seconds))
    return _encode([*head, f"#EXTINF:{seconds:.3f},", _BASE_URL + track.path, "#EXT-X-ENDLIST"])


def render_steering(deliveries: Sequence[Delivery]) -> bytes:
    """Render the steering manifest: edges in order of preference, to be reloaded every minute."""
    pathways = [delivery.edge_id for delivery in deliveries]
    document = {"VERSION": 1, "TTL": _STEERING_S, "RELOAD-URI": STEERING_NAME, "PATHWAY-PRIORITY": pathways}
    return msgspec.json.encode(document)


def build_playlist_name(track_id: str, edge_id: EdgeId) -> str:
    """Build the name of a track's playlist on an edge."""
    return f"{track_id}{_SEPARATOR}{edge_id}.m3u8"


def parse_playlist_name(name: str) -> tuple[str, EdgeId | None, bool]:
    """Return the track id in a playlist's name, the edge id, if any, and whether it is the playlist of I-frames."""
    track_id, _, rest = name.removesuffix(".m3u8").partition(_SEPARATOR)
    edge_id, _, kind = rest.partition(_SEPARATOR)
    return track_id, EdgeId(edge_id) if edge_id else None, kind == _IFRAMES


class _Pathway(NamedTuple):
    """An edge, and the query of its playlists."""

    edge_id: EdgeId
    query: str

    def build_uri(self, track_id: str) -> str:
        """Return the URI of a track's playlist."""
        return build_playlist_name(track_id, self.edge_id) + self.query

    def build_iframes_uri(self, track_id: str) -> str:
        """Return the URI of the playlist of a rendition's I-frames."""
        return f"{track_id}{_SEPARATOR}{self.edge_id}{_SEPARATOR}{_IFRAMES}.m3u8{self.query}"


def _render_pathway(asset: Asset, pathway: _Pathway, original_language: str) -> Iterator[str]:
    layouts = sorted({(get_codec_family(track.codec), track.channels) for track in asset.audio})
    for layout in layouts:
        yield from _render_audio(asset.audio, layout, pathway, original_language)
    text_names = names.name_text(asset.text)
    for track in asset.text:
        yield _render_subtitles(track, text_names[track.track_id], pathway)
    for video in sorted(asset.video, key=lambda track: track.bandwidth_bps):
        for audio_layout in layouts or _NO_LAYOUT:
            yield _render_variant(asset, video, audio_layout, pathway.edge_id)
            yield pathway.build_uri(video.track_id)
        if video.iframes:
            yield _render_iframe_variant(video, pathway)


def _choose_group(audio: Sequence[AudioTrack], layout: tuple[str, int]) -> list[AudioTrack]:
    """Choose a group's tracks: of every sound, the one nearest to the layout."""
    nearest: dict[names.Sound, AudioTrack] = {}
    codec, channels = layout
    for track in sorted(audio, key=lambda t: (t.channels <= channels, t.channels, get_codec_family(t.codec) == codec)):
        nearest[names.get_sound(track)] = track
    return [nearest[sound] for sound in dict.fromkeys(map(names.get_sound, audio))]


def _render_audio(
    audio: Sequence[AudioTrack], layout: tuple[str, int], pathway: _Pathway, original_language: str
) -> Iterator[str]:
    group = names.sort_audio(_choose_group(audio, layout), original_language)
    audio_names = names.name_sounds(names.sort_audio(audio, original_language))
    for at, track in enumerate(group):
        characteristics = f',CHARACTERISTICS="{_DESCRIBES_VIDEO}"' if track.role == "description" else ""
        yield (
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_name_audio_group(layout, pathway.edge_id)}"'
            f',NAME="{audio_names[names.get_sound(track)]}",LANGUAGE="{track.language}"'
            f",DEFAULT={'NO' if at else 'YES'},AUTOSELECT={'YES' if track.role != 'commentary' else 'NO'}"
            f'{characteristics},CHANNELS="{track.channels}",URI="{pathway.build_uri(track.track_id)}"'
        )


def _render_subtitles(track: TextTrack, name: str, pathway: _Pathway) -> str:
    characteristics = f',CHARACTERISTICS="{_CAPTIONS}"' if track.role == "caption" else ""
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text~{pathway.edge_id}",NAME="{name}",LANGUAGE="{track.language}"'
        f",DEFAULT=NO,AUTOSELECT=YES,FORCED={'YES' if track.role == 'forced' else 'NO'}{characteristics}"
        f',URI="{pathway.build_uri(track.track_id)}"'
    )


def _render_variant(asset: Asset, video: VideoTrack, layout: tuple[str, int] | None, edge_id: EdgeId) -> str:
    audio = _choose_group(asset.audio, layout) if layout is not None else []
    codecs = ",".join(dict.fromkeys([video.codec, *(track.codec for track in audio)]))
    about = [
        f"BANDWIDTH={video.bandwidth_bps + max((track.bandwidth_bps for track in audio), default=0)}",
        f"AVERAGE-BANDWIDTH={_average(asset, video) + max((_average(asset, track) for track in audio), default=0)}",
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


def _render_iframe_variant(video: VideoTrack, pathway: _Pathway) -> str:
    sizes, durations = unpack_sizes(video.iframes), _list_durations(video)
    about = [
        f"BANDWIDTH={max(round(size * 8 / duration) for size, duration in zip(sizes, durations, strict=True))}",
        f"AVERAGE-BANDWIDTH={round(sum(sizes) * 8 / sum(durations))}",
        f'CODECS="{video.codec}"',
        f"RESOLUTION={video.width_px}x{video.height_px}",
        f"VIDEO-RANGE={_RANGES[video.range]}",
        f'PATHWAY-ID="{pathway.edge_id}"',
        f'URI="{pathway.build_iframes_uri(video.track_id)}"',
    ]
    return f"#EXT-X-I-FRAME-STREAM-INF:{','.join(about)}"


def _average(asset: Asset, track: VideoTrack | AudioTrack) -> int:
    """Return a track's average bandwidth, or its highest where that is not known."""
    if isinstance(track, VideoTrack):
        return track.average_bandwidth_bps or track.bandwidth_bps
    return min(track.bandwidth_bps, round(track.size_bytes * 8000 / asset.duration_ms)) or track.bandwidth_bps


def _name_audio_group(layout: tuple[str, int], edge_id: EdgeId) -> str:
    return f"{layout[0]}-{layout[1]}~{edge_id}"


def _parse_rate(fraction: str) -> float:
    over, _, under = fraction.partition("/")
    return int(over) / int(under or 1)


def _list_durations(track: Track) -> list[float]:
    return [duration / track.timescale for run in track.segments for duration in run.durations]


def _round_duration(seconds: float) -> int:
    """Round the duration of a segment as a player compares it with the target duration."""
    return max(1, int(seconds + 0.5))


def _render_track_head(asset: Asset, track: Track, key_format: KeyFormat, *tags: str) -> list[str]:
    # The same target in all playlists of video and audio (RFC 8216bis §6.2.4).
    tracks: list[Track] = [*asset.video, *asset.audio]
    longest = (max((run.duration, *run.following)) / one.timescale for one in tracks for run in one.segments)
    target = max(map(_round_duration, longest))
    lines = [*_render_head(target), *tags]
    if track.key_id is not None:
        lines.append(_render_key(asset, track.key_id, key_format))
    return [*lines, f'#EXT-X-MAP:URI="{_BASE_URL}{track.init}"']


def _render_key(asset: Asset, key_id: str, key_format: KeyFormat) -> str:
    method = "SAMPLE-AES" if asset.scheme == "cbcs" else "SAMPLE-AES-CTR"
    if key_format == "identity":
        key = f'URI="{_KEY_FOLDER}{key_id}",KEYFORMAT="identity"'
    else:
        # Of the key the player learns the id; it has the address of the licence server from its application.
        data = base64.b64encode(bytes.fromhex(key_id)).decode()
        key = f'URI="data:text/plain;base64,{data}",KEYID=0x{key_id},KEYFORMAT="org.w3.clearkey"'
    return f'#EXT-X-KEY:METHOD={method},{key},KEYFORMATVERSIONS="1"'


def _render_head(target_s: int) -> list[str]:
    return ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{target_s}", "#EXT-X-PLAYLIST-TYPE:VOD"]


def _encode(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
