"""DASH manifests (ISO/IEC 23009-1): one static period; segments are named by a template and a timeline."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring
from xml.sax.saxutils import escape, quoteattr

from matinee.catalogue.api import Asset, AudioTrack, TextSegments, TextTrack, Thumbnails, Track, VideoTrack
from matinee.playback.api import Delivery
from matinee.playback.model import names
from matinee.playback.model.capabilities import get_codec_family

CONTENT_TYPE = "application/dash+xml"
MPD, CENC, DVB = "urn:mpeg:dash:schema:mpd:2011", "urn:mpeg:cenc:2013", "urn:dvb:dash:dash-extensions:2014-1"
DASHIF = "https://dashif.org/CPS"
CLEARKEY = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"
_COMMON_SYSTEM = uuid.UUID("1077efec-c0b2-4d02-ace3-3c1e52e2fb4b")  # W3C "cenc" initialization data format
_ROLES = {"description": "description", "commentary": "commentary", "caption": "caption", "forced": "forced-subtitle"}
_IMAGES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "avif": "image/avif"}
# Required by players, but not used to choose: an image is some tens of kilobytes.
_SHEET_BPS = 20_000
_TEXT_BPS = 1_000
# Where the addresses belong in a template; the licence server's is in every encrypted set.
_EDGES = b'<BaseURL dvb:priority="0" />'
_LICENCE = "\0licence"

register_namespace("cenc", CENC)
register_namespace("dvb", DVB)
register_namespace("dashif", DASHIF)


def render_template(asset: Asset, original_language: str) -> bytes:
    """Render the manifest of an asset's tracks without the addresses, which `fill_template` adds."""
    root = Element(
        "MPD",
        {
            "xmlns": MPD,
            "type": "static",
            "profiles": "urn:mpeg:dash:profile:isoff-live:2011",
            "mediaPresentationDuration": _format_duration(asset.duration_ms),
            "minBufferTime": "PT2S",
        },
    )
    SubElement(root, "BaseURL", {f"{{{DVB}}}priority": "0"})
    period = SubElement(root, "Period", {"id": "0", "start": "PT0S"})
    for number, adaptation in enumerate(_render_adaptations(asset, original_language), start=1):
        adaptation.set("id", str(number))
        period.append(adaptation)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def fill_template(template: bytes, deliveries: Sequence[Delivery], licence_url: str) -> bytes:
    """Return a template with the addresses of edges, best first, and of a ClearKey server."""
    edges = "".join(
        f'<BaseURL serviceLocation={quoteattr(delivery.edge_id)} dvb:priority="{priority}" dvb:weight="1">'
        f"{escape(delivery.base_url)}</BaseURL>"
        for priority, delivery in enumerate(deliveries, start=1)
    )
    return template.replace(_EDGES, edges.encode(), 1).replace(_LICENCE.encode(), escape(licence_url).encode())


def _render_adaptations(asset: Asset, original_language: str) -> Iterator[Element]:
    encryption = _describe_encryption(asset)
    yield from _render_video_sets(asset, encryption)
    yield from _render_audio_sets(asset, original_language, encryption)
    text_names = names.name_text(asset.text)
    for text in asset.text:
        yield _render_text_set(text, text_names[text.track_id])
    if asset.thumbnails is not None:
        yield _render_image_set(asset.thumbnails)


def _get_video_kind(track: VideoTrack) -> tuple[str, str, str]:
    # One key per set: a device without a key loses only that set (DASH-IF IOP 7.5).
    return get_codec_family(track.codec), track.range, track.key_id or ""


def _get_audio_kind(track: AudioTrack) -> tuple[names.Sound, int, str, str]:
    return names.get_sound(track), track.channels, get_codec_family(track.codec), track.key_id or ""


def _render_video_sets(asset: Asset, encryption: _Encryption) -> Iterator[Element]:
    """Render the video sets, numbered first; sets that differ only in their key refer to each other as switchable."""
    sets = [list(tracks) for _, tracks in groupby(sorted(asset.video, key=_get_video_kind), key=_get_video_kind)]
    kinds = [_get_video_kind(tracks[0])[:2] for tracks in sets]
    for at, tracks in enumerate(sets):
        switchable = [str(n + 1) for n, kind in enumerate(kinds) if kind == kinds[at] and n != at]
        yield _render_video_set(tracks, encryption, switchable)


def _render_video_set(tracks: list[VideoTrack], encryption: _Encryption, switchable: list[str]) -> Element:
    largest = max(tracks, key=lambda track: track.height_px)
    shape = Fraction(largest.width_px, largest.height_px)
    adaptation = Element(
        "AdaptationSet",
        {
            "contentType": "video",
            "mimeType": "video/mp4",
            "segmentAlignment": "true",
            "startWithSAP": "1",
            "maxWidth": str(max(track.width_px for track in tracks)),
            "maxHeight": str(max(track.height_px for track in tracks)),
            "maxFrameRate": max((track.frame_rate for track in tracks), key=Fraction),
            "par": f"{shape.numerator}:{shape.denominator}",
        },
    )
    _add_protection(adaptation, tracks[0], encryption)
    if tracks[0].range != "SDR":
        transfer = {"HDR10": "16", "HLG": "18"}[tracks[0].range]
        _add_property(adaptation, "EssentialProperty", "urn:mpeg:mpegB:cicp:TransferCharacteristics", transfer)
    if switchable:
        switching = "urn:mpeg:dash:adaptation-set-switching:2016"
        _add_property(adaptation, "SupplementalProperty", switching, ",".join(switchable))
    for track in sorted(tracks, key=lambda track: track.bandwidth_bps):
        size = {"width": str(track.width_px), "height": str(track.height_px), "sar": "1:1"}
        _add_representation(adaptation, track, {**size, "frameRate": track.frame_rate})
    return adaptation


def _render_audio_sets(asset: Asset, original_language: str, encryption: _Encryption) -> Iterator[Element]:
    """Render the audio sets, the main track first; a set contains the bit rates of one kind of track."""
    kinds: dict[tuple[object, ...], list[AudioTrack]] = {}
    for track in names.sort_audio(asset.audio, original_language):
        kinds.setdefault(_get_audio_kind(track), []).append(track)
    original = names.find_original(asset.audio, original_language)
    set_names = names.name_audio([tracks[0] for tracks in kinds.values()])
    for tracks in kinds.values():
        role = "dub" if names.is_dub(tracks[0], original) else _ROLES.get(tracks[0].role, "main")
        yield _render_audio_set(tracks, set_names[tracks[0].track_id], role, encryption)


def _render_audio_set(tracks: list[AudioTrack], name: str, role: str, encryption: _Encryption) -> Element:
    first = tracks[0]
    adaptation = Element(
        "AdaptationSet",
        {
            "contentType": "audio",
            "mimeType": "audio/mp4",
            "lang": first.language,
            "segmentAlignment": "true",
            "startWithSAP": "1",
        },
    )
    _add_protection(adaptation, first, encryption)
    SubElement(adaptation, "Label").text = name
    if first.role == "description":
        _add_property(adaptation, "Accessibility", "urn:tva:metadata:cs:AudioPurposeCS:2007", "1")
    _add_property(adaptation, "Role", "urn:mpeg:dash:role:2011", role)
    for track in sorted(tracks, key=lambda track: track.bandwidth_bps):
        representation = _add_representation(adaptation, track, {"audioSamplingRate": str(track.sample_rate_hz)})
        layout = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
        representation.insert(0, _create_descriptor("AudioChannelConfiguration", layout, str(track.channels)))
    return adaptation


def _render_text_set(track: TextTrack, name: str) -> Element:
    adaptation = Element("AdaptationSet", {"contentType": "text", "lang": track.language})
    SubElement(adaptation, "Label").text = name
    _add_property(adaptation, "Role", "urn:mpeg:dash:role:2011", _ROLES.get(track.role, "subtitle"))
    if (segmented := track.segmented) is not None:
        adaptation.attrib |= {"mimeType": "application/mp4", "segmentAlignment": "true", "startWithSAP": "1"}
        attributes = {"id": track.track_id, "codecs": "wvtt", "bandwidth": str(segmented.bandwidth_bps)}
        _add_template(SubElement(adaptation, "Representation", attributes), segmented)
    else:
        adaptation.set("mimeType", "text/vtt")
        representation = SubElement(adaptation, "Representation", {"id": track.track_id, "bandwidth": str(_TEXT_BPS)})
        SubElement(representation, "BaseURL").text = track.path
    return adaptation


def _render_image_set(sheets: Thumbnails) -> Element:
    mime = _IMAGES.get(sheets.media.rpartition(".")[2].lower(), "image/jpeg")
    adaptation = Element("AdaptationSet", {"contentType": "image", "mimeType": mime})
    covered_ms = sheets.interval_ms * sheets.columns * sheets.rows
    timing = {"media": sheets.media, "timescale": "1000", "duration": str(covered_ms), "startNumber": "1"}
    SubElement(adaptation, "SegmentTemplate", timing)
    size = {"width": str(sheets.width_px * sheets.columns), "height": str(sheets.height_px * sheets.rows)}
    attributes = {"id": "thumbnails", "bandwidth": str(_SHEET_BPS), **size}
    representation = SubElement(adaptation, "Representation", attributes)
    tile = "http://dashif.org/guidelines/thumbnail_tile"
    _add_property(representation, "EssentialProperty", tile, f"{sheets.columns}x{sheets.rows}")
    return adaptation


def _add_representation(adaptation: Element, track: Track, attributes: dict[str, str]) -> Element:
    common = {"id": track.track_id, "codecs": track.codec, "bandwidth": str(track.bandwidth_bps)}
    representation = SubElement(adaptation, "Representation", {**common, **attributes})
    _add_template(representation, track)
    return representation


def _add_template(representation: Element, track: Track | TextSegments) -> None:
    template = SubElement(
        representation,
        "SegmentTemplate",
        {"timescale": str(track.timescale), "initialization": track.init, "media": track.media, "startNumber": "1"},
    )
    timeline = SubElement(template, "SegmentTimeline")
    for run in track.segments:
        start = {"t": str(run.start)}
        for duration, equal in groupby(run.durations):
            element = SubElement(timeline, "S", {**start, "d": str(duration)})
            start = {}
            if (repeated := sum(1 for _ in equal) - 1) > 0:
                element.set("r", str(repeated))


class _Encryption(NamedTuple):
    """The scheme of an asset, and a `pssh` with all its key ids."""

    scheme: str
    pssh: str


def _describe_encryption(asset: Asset) -> _Encryption:
    key_ids = sorted({track.key_id for track in (*asset.video, *asset.audio) if track.key_id})
    pssh = base64.b64encode(_build_pssh([uuid.UUID(key_id) for key_id in key_ids])).decode()
    return _Encryption(asset.scheme, pssh)


def _add_protection(adaptation: Element, track: Track, encryption: _Encryption) -> None:
    """Add the key of a set and the licence server.

    The `pssh` is that of the common system. dash.js does not find the licence server of a ClearKey descriptor that
    contains it. In the descriptor of the scheme, and the same in every set, it lets Shaka Player request one licence.
    """
    if track.key_id is None:
        return
    common = SubElement(adaptation, "ContentProtection", {"schemeIdUri": "urn:mpeg:dash:mp4protection:2011"})
    common.set("value", encryption.scheme)
    common.set(f"{{{CENC}}}default_KID", str(uuid.UUID(track.key_id)))
    SubElement(common, f"{{{CENC}}}pssh").text = encryption.pssh
    clearkey = SubElement(adaptation, "ContentProtection", {"schemeIdUri": CLEARKEY, "value": "ClearKey1.0"})
    SubElement(clearkey, f"{{{DASHIF}}}Laurl").text = _LICENCE


def _build_pssh(key_ids: list[uuid.UUID]) -> bytes:
    """Build a version 1 `pssh` box of the common system (ISO/IEC 23001-7 §8.1), which ClearKey reads."""
    named = len(key_ids).to_bytes(4, "big") + b"".join(key_id.bytes for key_id in key_ids)
    body = b"pssh" + b"\x01\x00\x00\x00" + _COMMON_SYSTEM.bytes + named + bytes(4)
    return (len(body) + 4).to_bytes(4, "big") + body


def _add_property(parent: Element, tag: str, scheme: str, value: str) -> None:
    parent.append(_create_descriptor(tag, scheme, value))


def _create_descriptor(tag: str, scheme: str, value: str) -> Element:
    return Element(tag, {"schemeIdUri": scheme, "value": value})


def _format_duration(duration_ms: int) -> str:
    return f"PT{duration_ms // 1000}.{duration_ms % 1000:03}S"
