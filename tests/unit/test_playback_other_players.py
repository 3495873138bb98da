"""What players of other projects need of a manifest: names, roles, keys, target durations, I-frames, subtitles."""

import base64
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from matinee.catalogue.api import Asset, AudioTrack, SegmentRun, TextSegments, TextTrack, VideoTrack
from matinee.catalogue.model.validation import check_asset
from matinee.kit import ids
from matinee.kit.ids import AssetId, EdgeId, TitleId
from matinee.kit.packing import pack_sizes, unpack_sizes
from matinee.kit.problem import Invalid
from matinee.playback.api import Delivery, KeyFormat, ManifestNotFound
from matinee.playback.model.links import build_key_links
from matinee.playback.model.manifests import ManifestRenderer
from matinee.playback.model.names import name_language

MPD = {"": "urn:mpeg:dash:schema:mpd:2011", "cenc": "urn:mpeg:cenc:2013", "dashif": "https://dashif.org/CPS"}
EDGES = [Delivery(edge_id=EdgeId("edg_1"), base_url="http://127.0.0.1:1/t/x/assets/a/")]
SHARED: dict[str, Any] = {"init": "x/init.mp4", "media": "x/$Number$.m4s"}
VIDEO_KEY, AUDIO_KEY = "0f" * 16, "a1" * 16
SIZES = [9_000, 700, 65_600]


def make_audio(track_id: str, language: str, channels: int = 2, **fields: Any) -> AudioTrack:
    return AudioTrack(
        track_id=track_id,
        codec="mp4a.40.2",
        language=language,
        channels=channels,
        sample_rate_hz=48_000,
        bandwidth_bps=140_000,
        timescale=48_000,
        segments=[SegmentRun(0, 192_512, 2), SegmentRun(385_024, 191_488)],
        key_id=AUDIO_KEY,
        size_bytes=192_000,
        **SHARED,
        **fields,
    )


ASSET = Asset(
    asset_id=ids.derive(AssetId, "a"),
    title_id=ids.derive(TitleId, "t"),
    prefix=f"assets/{ids.derive(AssetId, 'a')}/",
    duration_ms=12_000,
    video=[
        VideoTrack(
            track_id=f"v{height_px}",
            codec="avc1.64001f",
            bandwidth_bps=1_000_000,
            average_bandwidth_bps=600_000,
            timescale=12_800,
            segments=[SegmentRun(0, 51_200, 3)],
            key_id=VIDEO_KEY,
            width_px=height_px * 12 // 5,
            height_px=height_px,
            frame_rate=rate,
            iframes=pack_sizes(SIZES) if height_px == 240 else b"",
            **SHARED,
        )
        for height_px, rate in ((240, "25/2"), (480, "25"))
    ],
    audio=[
        make_audio("de", "de"),
        make_audio("en-c", "en", role="commentary"),
        make_audio("en", "en"),
        make_audio("en-6", "en", 6),
        make_audio("en-d", "en", role="description", label='With a "narrator"\n'),
    ],
    text=[
        TextTrack(
            track_id="t-en",
            language="en",
            path="text/t-en.vtt",
            segmented=TextSegments(bandwidth_bps=400, timescale=1000, segments=[SegmentRun(0, 4000, 3)], **SHARED),
        ),
        TextTrack(track_id="t-en-caption", language="en", path="text/c.vtt", role="caption"),
        TextTrack(track_id="t-xx", language="qaa", path="text/x.vtt"),
    ],
)


def render(name: str, asset: Asset = ASSET, key_format: KeyFormat = "identity", original: str = "en-GB") -> str:
    keys = build_key_links("token", "https://matinee.example", key_format)
    return ManifestRenderer().render(name, asset, EDGES, original, keys).body.decode()


def list_sets(kind: str, asset: Asset = ASSET, original: str = "en-GB") -> list[ElementTree.Element]:
    root = ElementTree.fromstring(render("manifest.mpd", asset, original=original))
    return root.findall(f"Period/AdaptationSet[@contentType='{kind}']", MPD)


def list_audio(original: str) -> list[tuple[str, str]]:
    sets = list_sets("audio", original=original)
    roles = [role.get("value", "") for one in sets for role in one.findall("Role", MPD)]
    return list(zip([one.findtext("Label", "", MPD) for one in sets], roles, strict=True))


def list_media(name: str = "master.m3u8", **options: Any) -> list[dict[str, str]]:
    """Return the attributes of the tags with attributes, and under `tag` their names."""
    found = re.findall(r"^#(EXT-X-[A-Z-]+):(.*=.*)$", render(name, **options), re.MULTILINE)
    pairs = [(tag, re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,"]*)', text)) for tag, text in found]
    return [{"tag": tag, **{key: value.strip('"') for key, value in attributes}} for tag, attributes in pairs]


def test_audio_has_names_roles_and_the_main_track_first() -> None:
    assert list_audio("en-GB") == [
        ("English (stereo)", "main"),
        ("English (5.1)", "main"),
        ("English (commentary)", "commentary"),
        ("With a 'narrator'", "description"),
        ("Deutsch", "dub"),
    ]
    assert list_audio("de")[0] == ("Deutsch", "main")
    assert ("English (5.1)", "dub") in list_audio("de")
    assert {role for _, role in list_audio("und")} == {"main", "commentary", "description"}
    groups: dict[str, list[dict[str, str]]] = {}
    for one in list_media():
        if one.get("TYPE") == "AUDIO":
            groups.setdefault(one["GROUP-ID"], []).append(one)
    names = ["English", "English (commentary)", "With a 'narrator'", "Deutsch"]
    assert [[one["NAME"] for one in group] for group in groups.values()] == [names, names]
    assert [[one["DEFAULT"] for one in group] for group in groups.values()] == [["YES", "NO", "NO", "NO"]] * 2


def test_subtitles_have_names() -> None:
    names = ["English", "English (captions)", "qaa"]
    assert [one["NAME"] for one in list_media() if one.get("TYPE") == "SUBTITLES"] == names
    assert [one.findtext("Label", "", MPD) for one in list_sets("text")] == names


@pytest.mark.parametrize(
    ("tag", "name"), [("ja", "日本語"), ("pt-BR", "Português (BR)"), ("FR", "Français"), ("xx", "xx"), ("und", "und")]
)
def test_languages_are_named_in_themselves(tag: str, name: str) -> None:
    assert name_language(tag) == name


def test_labels_that_tracks_in_several_languages_have_are_preceded_by_the_language() -> None:
    audio = [make_audio(f"{language}-{n}", language, n, label="Main") for language in ("en", "de") for n in (2, 6)]
    sets = list_sets("audio", replace(ASSET, audio=audio))
    assert [one.findtext("Label", "", MPD) for one in sets] == [
        *("English: Main (stereo)", "English: Main (5.1)", "Deutsch: Main (stereo)", "Deutsch: Main (5.1)")
    ]


def test_tracks_of_one_kind_are_numbered() -> None:
    asset = replace(ASSET, audio=[], text=[replace(ASSET.text[0], track_id=f"t{n}") for n in range(3)])
    assert [one.findtext("Label", "", MPD) for one in list_sets("text", asset)] == ["English", "English 2", "English 3"]


def test_sounds_that_only_their_number_tells_apart_are_all_offered() -> None:
    sounds = [make_audio("de-2", "de", number=1), make_audio("de-6", "de", 6, number=1)]
    sounds += [make_audio("de-2-2", "de", number=2), make_audio("de-3-2", "de", number=3)]
    asset = replace(ASSET, audio=sounds)
    assert [one.findtext("Label", "", MPD) for one in list_sets("audio", asset, original="de")] == [
        *("Deutsch (stereo)", "Deutsch (5.1)", "Deutsch 2", "Deutsch 3")
    ]
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in list_media(asset=asset, original="de"):
        if one.get("TYPE") == "AUDIO":
            groups.setdefault(one["GROUP-ID"], []).append((one["NAME"], one["URI"].partition("~")[0]))
    others = [("Deutsch 2", "de-2-2"), ("Deutsch 3", "de-3-2")]
    assert list(groups.values()) == [[("Deutsch", "de-2"), *others], [("Deutsch", "de-6"), *others]]


def test_clearkey_descriptor_has_the_licence_server_and_no_pssh() -> None:
    for one in [*list_sets("video"), *list_sets("audio")]:
        common, clearkey = one.findall("ContentProtection", MPD)
        assert clearkey.get("schemeIdUri") == "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"
        address = clearkey.findtext("dashif:Laurl", "", MPD)
        assert address == "https://matinee.example/api/v1/licences/clearkey/token"
        assert clearkey.find("cenc:pssh", MPD) is None
        pssh = base64.b64decode(common.findtext("cenc:pssh", "", MPD))
        # All keys in every set, so that Shaka Player requests one licence.
        assert bytes.fromhex(VIDEO_KEY) in pssh
        assert bytes.fromhex(AUDIO_KEY) in pssh


def test_video_set_has_its_shape_and_highest_rate() -> None:
    (video,) = list_sets("video")
    assert (video.get("par"), video.get("maxFrameRate"), video.get("maxHeight")) == ("12:5", "25", "480")


def test_target_duration_is_the_same_in_all_playlists_of_video_and_audio() -> None:
    names = [f"{track.track_id}~edg_1.m3u8" for track in [*ASSET.video, *ASSET.audio]] + ["v240~edg_1~iframes.m3u8"]
    for name in names:
        assert "#EXT-X-TARGETDURATION:4\n" in render(name), name


def test_average_bandwidth_is_that_of_video_and_audio() -> None:
    variants = [one for one in list_media() if one["tag"] == "EXT-X-STREAM-INF"]
    assert {(one["BANDWIDTH"], one["AVERAGE-BANDWIDTH"]) for one in variants} == {("1140000", "728000")}


@pytest.mark.parametrize("key_format", ["identity", "clearkey"])
def test_keys_of_hls_have_the_format_that_the_player_asked_for(key_format: KeyFormat) -> None:
    (key,) = [one for one in list_media("v240~edg_1.m3u8", key_format=key_format) if one["tag"] == "EXT-X-KEY"]
    assert key["METHOD"] == "SAMPLE-AES"
    if key_format == "identity":
        assert (key["KEYFORMAT"], key["URI"]) == ("identity", f"/api/v1/licences/hls/token/{VIDEO_KEY}")
    else:
        encoded = base64.b64encode(bytes.fromhex(VIDEO_KEY)).decode()
        assert (key["KEYFORMAT"], key["URI"]) == ("org.w3.clearkey", f"data:text/plain;base64,{encoded}")
        assert key["KEYID"] == f"0x{VIDEO_KEY}"
    suffix = "" if key_format == "identity" else "?keys=clearkey"
    master = render("master.m3u8", key_format=key_format)
    uris = re.findall(r'^([^#\n]+)$|URI="([^"]+m3u8[^"]*)"', master, re.MULTILINE)
    assert len(uris) > 8
    assert all((uri or other).endswith(f".m3u8{suffix}") for uri, other in uris)


def test_iframe_playlist_has_the_first_picture_of_each_segment() -> None:
    (variant,) = [one for one in list_media() if one["tag"] == "EXT-X-I-FRAME-STREAM-INF"]
    assert (variant["RESOLUTION"], variant["BANDWIDTH"]) == ("576x240", str(65_600 * 8 // 4))
    playlist = render(variant["URI"])
    assert "#EXT-X-I-FRAMES-ONLY\n" in playlist
    assert re.findall(r"#EXT-X-BYTERANGE:(\d+)@0\n(.+)", playlist) == [
        (str(size), f"{EDGES[0].base_url}x/{number}.m4s") for number, size in enumerate(SIZES, start=1)
    ]
    for name in ("v480~edg_1~iframes.m3u8", "en~edg_1~iframes.m3u8", "x~edg_1~iframes.m3u8"):
        with pytest.raises(ManifestNotFound):
            render(name)


def test_segmented_subtitles_are_wvtt_in_dash_and_one_file_in_hls() -> None:
    segmented, whole, _ = list_sets("text")
    representation = segmented.find("Representation", MPD)
    assert representation is not None
    assert (segmented.get("mimeType"), representation.get("codecs")) == ("application/mp4", "wvtt")
    assert representation.find("SegmentTemplate/SegmentTimeline/S", MPD) is not None
    assert whole.get("mimeType") == "text/vtt"
    assert f"{EDGES[0].base_url}text/t-en.vtt" in render("t-en~edg_1.m3u8")


@given(st.lists(st.integers(0, 2**40), max_size=50))
def test_packed_sizes_are_unpacked(sizes: list[int]) -> None:
    assert unpack_sizes(pack_sizes(sizes)) == sizes


@pytest.mark.parametrize("iframes", [pack_sizes([1, 2]), b"\x00", b"\x02abc"])
def test_assets_with_other_sizes_than_segments_are_refused(iframes: bytes) -> None:
    check_asset(ASSET)
    with pytest.raises(Invalid) as refused:
        check_asset(replace(ASSET, video=[replace(ASSET.video[0], iframes=iframes)]))
    assert "iframes" in json.dumps(refused.value.to_document())
