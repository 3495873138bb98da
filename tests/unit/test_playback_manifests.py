"""Rendered manifests, parsed again: segments, durations, keys, and only tracks that the device can play."""

import base64
import json
import re
from itertools import pairwise
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from matinee.catalogue.api import Asset, AudioTrack, SegmentRun, TextTrack, Thumbnails, Track, VideoTrack
from matinee.catalogue.model.validation import check_asset
from matinee.kit import ids
from matinee.kit.ids import AssetId, EdgeId, TitleId
from matinee.playback.api import Capabilities, Delivery, ManifestNotFound, NoRendition
from matinee.playback.model.capabilities import select_tracks
from matinee.playback.model.links import build_key_links
from matinee.playback.model.manifests import ManifestRenderer

DASH = {"": "urn:mpeg:dash:schema:mpd:2011", "cenc": "urn:mpeg:cenc:2013"}
KEYS = build_key_links("token", "https://matinee.example")
EDGES = [Delivery(edge_id=EdgeId(f"edg_{n}"), base_url=f"http://127.0.0.1:{n}/t/x/assets/a/") for n in (1, 2, 3)]
ASSET_ID = ids.derive(AssetId, "a")
KEY_IDS = ["00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"]
LANGUAGES = ["en", "de", "pt-BR"]


@st.composite
def runs(draw: st.DrawFn) -> list[SegmentRun]:
    found: list[SegmentRun] = []
    start = 0
    for duration, count in draw(
        st.lists(st.tuples(st.integers(1, 200_000), st.integers(1, 30)), min_size=1, max_size=4)
    ):
        found.append(SegmentRun(start, duration, count))
        start += duration * count
    return found


@st.composite
def assets(draw: st.DrawFn) -> Asset:
    scheme = draw(st.sampled_from(["cbcs", "cenc", "none"]))
    key_ids = st.sampled_from([None, *KEY_IDS]) if scheme != "none" else st.none()

    def track(name: str) -> dict[str, Any]:
        return {
            "track_id": name,
            "bandwidth_bps": draw(st.integers(1, 20_000_000)),
            "timescale": draw(st.sampled_from([1000, 12_800, 90_000])),
            "init": f"{name}/init.mp4",
            "media": f"{name}/$Number$.m4s",
            "segments": draw(runs()),
            "key_id": draw(key_ids),
        }

    heights = draw(st.lists(st.sampled_from([240, 480, 720, 1080, 2160]), min_size=1, max_size=4))
    return Asset(
        asset_id=ASSET_ID,
        title_id=ids.derive(TitleId, "t"),
        prefix=f"assets/{ASSET_ID}/",
        duration_ms=draw(st.integers(1, 10_000_000)),
        scheme=scheme,
        video=[
            VideoTrack(
                codec=draw(st.sampled_from(["avc1.64001f", "av01.0.08M.08", "hvc1.2.4.L150"])),
                width_px=height_px * 16 // 9,
                height_px=height_px,
                frame_rate=draw(st.sampled_from(["25", "30000/1001"])),
                range=draw(st.sampled_from(["SDR", "HDR10", "HLG"])),
                **track(f"v{at}"),
            )
            for at, height_px in enumerate(heights)
        ],
        audio=[
            AudioTrack(
                codec=draw(st.sampled_from(["mp4a.40.2", "opus"])),
                language=draw(st.sampled_from(LANGUAGES)),
                channels=draw(st.sampled_from([1, 2, 6])),
                sample_rate_hz=48_000,
                role=draw(st.sampled_from(["main", "commentary", "description"])),
                label=draw(st.sampled_from(["", "Director's <cut> & more", 'a "quoted" label'])),
                **track(f"a{at}"),
            )
            for at in range(draw(st.integers(0, 4)))
        ],
        text=[
            TextTrack(
                track_id=f"t{at}",
                language=draw(st.sampled_from(LANGUAGES)),
                path=f"text/{at}.vtt",
                role=draw(st.sampled_from(["subtitle", "caption", "forced"])),
                label=draw(st.sampled_from(["", "Für Hörgeschädigte"])),
            )
            for at in range(draw(st.integers(0, 3)))
        ],
        thumbnails=draw(
            st.none()
            | st.just(
                Thumbnails(
                    media="thumbs/$Number$.jpg",
                    columns=5,
                    rows=4,
                    width_px=160,
                    height_px=90,
                    interval_ms=1000,
                    sheets=3,
                )
            )
        ),
    )


def render(asset: Asset, name: str, edges: list[Delivery] = EDGES) -> str:
    name, _, query = name.partition("?")
    keys = replace(KEYS, key_format="clearkey") if query == "keys=clearkey" else KEYS
    return ManifestRenderer().render(name, asset, edges, "de", keys).body.decode()


def tracks(asset: Asset) -> dict[str, Track]:
    return {track.track_id: track for track in [*asset.video, *asset.audio]}


def segments(track: Track) -> list[str]:
    return [track.media.replace("$Number$", str(n + 1)) for n in range(sum(run.count for run in track.segments))]


def ticks(track: Track) -> int:
    return sum(run.duration * run.count for run in track.segments)


def timeline(template: ElementTree.Element) -> list[tuple[int, int]]:
    """Return start and duration of each segment, as a player computes them."""
    found: list[tuple[int, int]] = []
    at = 0
    for stretch in template.findall("SegmentTimeline/S", DASH):
        at = int(stretch.get("t", at))
        for _ in range(int(stretch.get("r", 0)) + 1):
            found.append((at, int(stretch.attrib["d"])))
            at += int(stretch.attrib["d"])
    return found


@given(assets())
def test_dash_lists_every_segment_once_with_consistent_times(asset: Asset) -> None:
    check_asset(asset)
    mpd = ElementTree.fromstring(render(asset, "manifest.mpd"))
    assert [base.text for base in mpd.findall("BaseURL", DASH)] == [edge.base_url for edge in EDGES]
    assert [base.get("serviceLocation") for base in mpd.findall("BaseURL", DASH)] == [edge.edge_id for edge in EDGES]
    found: dict[str, ElementTree.Element] = {}
    for one in mpd.findall("Period/AdaptationSet", DASH):
        if one.get("contentType") in {"video", "audio"}:
            for representation in one.findall("Representation", DASH):
                assert found.setdefault(representation.attrib["id"], representation) is representation
    assert found.keys() == tracks(asset).keys()
    for track_id, track in tracks(asset).items():
        template = found[track_id].find("SegmentTemplate", DASH)
        assert template is not None
        times = timeline(template)
        assert (template.get("media"), template.get("initialization")) == (track.media, track.init)
        assert len(times) == len(segments(track))
        assert sum(duration for _, duration in times) == ticks(track)
        assert all(start + duration == after for (start, duration), (after, _) in pairwise(times))
    ids_ = [one.attrib["id"] for one in mpd.findall("Period/AdaptationSet", DASH)]
    assert len(ids_) == len(set(ids_))


@given(assets())
def test_dash_names_the_key_of_each_set(asset: Asset) -> None:
    mpd = ElementTree.fromstring(render(asset, "manifest.mpd"))
    known = tracks(asset)
    for one in mpd.findall("Period/AdaptationSet", DASH):
        key_ids = {known[r.attrib["id"]].key_id for r in one.findall("Representation", DASH) if r.attrib["id"] in known}
        assert len(key_ids) <= 1  # a device without this key loses only this set
        protections = one.findall("ContentProtection", DASH)
        if not key_ids or None in key_ids:
            assert protections == []
            continue
        (key_id,) = key_ids
        assert protections[0].get("value") == asset.scheme
        assert protections[0].get(f"{{{DASH['cenc']}}}default_KID", "").replace("-", "") == key_id
        pssh = base64.b64decode(protections[0].findtext("cenc:pssh", "", DASH))
        named = [pssh[at : at + 16].hex() for at in range(32, len(pssh) - 4, 16)]
        assert len(pssh) == int.from_bytes(pssh[:4], "big") == 36 + 16 * int.from_bytes(pssh[28:32], "big")
        assert pssh[4:12] == b"pssh\x01\x00\x00\x00"
        # Every key in every set, so that a player requests one licence.
        assert named == sorted({track.key_id for track in known.values() if track.key_id})


def playlist(text: str) -> dict[str, list[str]]:
    """Return a playlist's tags with their values, and its URIs under `""`."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        tag, _, value = line.partition(":") if line.startswith("#") else ("", "", line)
        found.setdefault(tag, []).append(value)
    return found


def attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,"]*)', text)}


@given(assets())
def test_hls_lists_every_segment_once_with_consistent_times(asset: Asset) -> None:
    for track_id, track in tracks(asset).items():
        for edge in EDGES:
            lines = playlist(render(asset, f"{track_id}~{edge.edge_id}.m3u8"))
            assert lines[""] == [edge.base_url + path for path in segments(track)]
            assert attributes(lines["#EXT-X-MAP"][0])["URI"] == edge.base_url + track.init
        durations = [float(value.rstrip(",")) for value in lines["#EXTINF"]]
        assert sum(durations) == pytest.approx(ticks(track) / track.timescale, abs=1e-6 * len(durations))
        assert max(durations) < int(lines["#EXT-X-TARGETDURATION"][0]) + 0.5
        assert lines["#EXT-X-ENDLIST"] == [""]
        keys = [attributes(value)["URI"] for value in lines.get("#EXT-X-KEY", [])]
        assert keys == ([KEYS.folder + track.key_id] if track.key_id else [])


@given(assets())
def test_hls_lists_every_rendition_at_every_edge_with_its_groups(asset: Asset) -> None:
    lines = playlist(render(asset, "master.m3u8"))
    media = [attributes(value) for value in lines.get("#EXT-X-MEDIA", [])]
    variants = [attributes(value) for value in lines["#EXT-X-STREAM-INF"]]
    names = [(one["GROUP-ID"], one["NAME"]) for one in media]
    assert len(names) == len(set(names))
    for edge in EDGES:
        offered = {uri for uri in lines[""] if uri.endswith(f"~{edge.edge_id}.m3u8")}
        assert offered == {f"{track.track_id}~{edge.edge_id}.m3u8" for track in asset.video}
        sounds = {one["URI"] for one in media if one["TYPE"] == "AUDIO" and edge.edge_id in one["GROUP-ID"]}
        kinds = {(track.language, track.role, track.label) for track in asset.audio}
        chosen = {uri.partition("~")[0] for uri in sounds}
        assert {(t.language, t.role, t.label) for t in asset.audio if t.track_id in chosen} == kinds
    groups = {one["GROUP-ID"] for one in media}
    for variant in variants:
        assert {variant[kind] for kind in ("AUDIO", "SUBTITLES") if kind in variant} <= groups
        assert ("AUDIO" in variant) == bool(asset.audio)
        assert int(variant["AVERAGE-BANDWIDTH"]) <= int(variant["BANDWIDTH"]) or not asset.audio
    assert attributes(lines["#EXT-X-CONTENT-STEERING"][0])["PATHWAY-ID"] == EDGES[0].edge_id


@given(assets())
def test_every_referenced_playlist_exists(asset: Asset) -> None:
    lines = playlist(render(asset, "master.m3u8"))
    named = lines[""] + [attributes(value)["URI"] for value in lines.get("#EXT-X-MEDIA", [])]
    for uri in named:
        assert render(asset, uri).startswith("#EXTM3U\n")
    steering = json.loads(render(asset, attributes(lines["#EXT-X-CONTENT-STEERING"][0])["SERVER-URI"]))
    assert steering["PATHWAY-PRIORITY"] == [edge.edge_id for edge in EDGES]


@given(
    assets(),
    st.builds(
        Capabilities,
        video=st.sampled_from([("avc1",), ("av01", "avc1"), ("hvc1",)]),
        audio=st.sampled_from([("mp4a",), ("opus", "mp4a")]),
        max_height_px=st.sampled_from([480, 1080, 2160]),
        max_channels=st.sampled_from([2, 6]),
        hdr=st.booleans(),
    ),
)
def test_no_manifest_lists_tracks_the_device_cannot_play(asset: Asset, capabilities: Capabilities) -> None:
    try:
        left = select_tracks(asset, capabilities)
    except NoRendition:
        return
    gone = tracks(asset).keys() - tracks(left).keys()
    for name in ("manifest.mpd", "master.m3u8"):
        body = render(left, name)
        assert not [track_id for track_id in gone if f'"{track_id}"' in body or f"\n{track_id}~" in body]
    for track_id in gone:
        with pytest.raises(ManifestNotFound):
            render(left, f"{track_id}.m3u8")
    for track in left.video:
        assert track.height_px <= capabilities.max_height_px
        assert track.codec.partition(".")[0] in capabilities.video
        assert capabilities.hdr or track.range == "SDR"
    for sound in left.audio:
        assert sound.channels <= capabilities.max_channels


SMALL = Asset(
    asset_id=ASSET_ID,
    title_id=ids.derive(TitleId, "t"),
    prefix=f"assets/{ASSET_ID}/",
    duration_ms=12_345,
    video=[
        VideoTrack(
            track_id=f"v{height_px}",
            codec="avc1.64001f",
            bandwidth_bps=height_px * 1000,
            timescale=1000,
            init="init.mp4",
            media="$Number$.m4s",
            segments=[SegmentRun(0, 4_000, 3), SegmentRun(12_000, 345)],
            key_id=key_id,
            width_px=height_px * 16 // 9,
            height_px=height_px,
            frame_rate="25",
        )
        for height_px, key_id in ((480, KEY_IDS[0]), (1080, KEY_IDS[1]))
    ],
    text=[TextTrack(track_id="sub", language="de", path="de.vtt", role="forced", label="Deutsch")],
    thumbnails=Thumbnails(
        media="th/$Number$.webp", columns=5, rows=4, width_px=160, height_px=90, interval_ms=500, sheets=2
    ),
)


def test_sets_with_different_keys_are_switchable() -> None:
    mpd = ElementTree.fromstring(render(SMALL, "manifest.mpd"))
    sets = mpd.findall("Period/AdaptationSet[@contentType='video']", DASH)
    others = [one.find("SupplementalProperty", DASH) for one in sets]
    assert [other.get("value") for other in others if other is not None] == ["2", "1"]
    assert mpd.get("mediaPresentationDuration") == "PT12.345S"


def test_subtitles_are_one_file_with_the_duration_of_the_film() -> None:
    mpd = ElementTree.fromstring(render(SMALL, "manifest.mpd"))
    text = mpd.find("Period/AdaptationSet[@contentType='text']", DASH)
    assert text is not None
    assert text.findtext("Representation/BaseURL", "", DASH) == "de.vtt"
    role = text.find("Role", DASH)
    assert role is not None
    assert role.get("value") == "forced-subtitle"
    lines = playlist(render(SMALL, "sub.m3u8"))
    assert (lines["#EXTINF"], lines[""]) == (["12.345,"], [EDGES[0].base_url + "de.vtt"])


def test_thumbnails_are_tiled_images() -> None:
    mpd = ElementTree.fromstring(render(SMALL, "manifest.mpd"))
    images = mpd.find("Period/AdaptationSet[@contentType='image']", DASH)
    assert images is not None
    assert images.get("mimeType") == "image/webp"
    template, sheet = images.find("SegmentTemplate", DASH), images.find("Representation", DASH)
    assert template is not None
    assert sheet is not None
    assert (template.get("duration"), template.get("timescale")) == ("10000", "1000")
    assert (sheet.get("width"), sheet.get("height")) == ("800", "360")
    tile = sheet.find("EssentialProperty", DASH)
    assert tile is not None
    assert tile.get("value") == "5x4"


def test_best_edge_replaces_one_that_is_gone() -> None:
    lines = playlist(render(SMALL, "v480~edg_gone.m3u8"))
    assert lines[""][0] == EDGES[0].base_url + "1.m4s"


@pytest.mark.parametrize("name", ["other.mpd", "v9.m3u8", "../v480.m3u8", "", "~.m3u8", "MASTER.M3U8"])
def test_unknown_names_are_not_found(name: str) -> None:
    with pytest.raises(ManifestNotFound):
        render(SMALL, name)


def test_relative_uris_stay_below_the_token() -> None:
    master = "http://gateway/api/v1/playback/s/manifest/token/master.m3u8"
    uri = playlist(render(replace(SMALL, audio=[]), "master.m3u8"))[""][0]
    assert urljoin(master, uri) == "http://gateway/api/v1/playback/s/manifest/token/v480~edg_1.m3u8"
