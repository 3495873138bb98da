"""Boxes of packaged segments, and the languages that they name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.encoding.model.boxes import complete_init, measure_first_picture
from matinee.encoding.model.languages import parse_language, to_iso639_2
from matinee.encoding.model.subtitles import Cue, format_webvtt, has_vertical_cues


def box(name: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4, "big") + name.encode() + body


def make_init(version: int, language: bytes) -> bytes:
    width = 8 if version else 4
    times = bytes([version, 0, 0, 0]) + b"\x11" * 2 * width
    mdhd = box("mdhd", times, (48_000).to_bytes(4, "big"), bytes(width), language, bytes(2))
    tkhd = box("tkhd", times, b"rest")
    return box("ftyp", b"mp41") + box("moov", box("mvhd", times, b"rest"), box("trak", tkhd, box("mdia", mdhd)))


@pytest.mark.parametrize("version", [0, 1])
def test_init_is_the_same_whenever_it_was_made_and_names_its_language(version: int) -> None:
    undetermined, german = b"\x55\xc4", b"\x10\xb5"
    completed = complete_init(make_init(version, undetermined), "deu")
    assert b"\x11" not in completed
    assert completed == make_init(version, german).replace(b"\x11", b"\0")
    assert german not in complete_init(completed, "x-unknown")


def make_segment(sizes: list[int], *, flags: int, defaults: int = 0) -> bytes:
    optional = b"" if not flags & 0x4 else bytes(4)
    duration = bytes(4) if flags & 0x100 else b""
    rows = b"".join(duration + (size.to_bytes(4, "big") if flags & 0x200 else b"") for size in sizes)
    widths = {0x1: 8, 0x2: 4, 0x8: 4}
    before = b"".join(b"\x11" * width for flag, width in widths.items() if defaults & flag)
    size = sizes[0].to_bytes(4, "big") if defaults & 0x10 else b""
    header = box("tfhd", defaults.to_bytes(4, "big"), bytes(4), before, size, bytes(4))

    def build(offset: int) -> bytes:
        head = bytes([0]) + flags.to_bytes(3, "big") + len(sizes).to_bytes(4, "big") + offset.to_bytes(4, "big")
        return box("moof", box("mfhd", bytes(8)), box("traf", header, box("trun", head, optional, rows)))

    moof = build(len(build(0)) + 8)
    samples = b"".join(bytes([number % 255 + 1]) * size for number, size in enumerate(sizes))
    return box("styp", b"msdh") + box("sidx", bytes(20)) + moof + box("mdat", samples)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=9), st.sampled_from([0x201, 0x205, 0x301, 0x305]))
def test_part_up_to_the_first_picture_contains_it_and_nothing_more(sizes: list[int], flags: int) -> None:
    segment = make_segment(sizes, flags=flags)
    part = segment[: measure_first_picture(segment)]
    assert part.endswith(b"\x01" * sizes[0])
    assert segment[len(part) :] == b"".join(bytes([n % 255 + 1]) * size for n, size in enumerate(sizes) if n)


@given(
    st.integers(1, 2000),
    st.integers(1, 9),
    st.sampled_from([0x1, 0x5, 0x101]),
    st.sampled_from([0x10, 0x3A, 0x11, 0x1B]),
)
def test_samples_of_one_size_are_measured_by_the_header_of_their_track(
    size: int, count: int, flags: int, defaults: int
) -> None:
    segment = make_segment([size] * count, flags=flags, defaults=defaults)
    assert measure_first_picture(segment) == len(segment) - size * (count - 1)


@pytest.mark.parametrize("data", [b"", b"junk" * 9, box("styp", b"x"), make_segment([5], flags=0x200)])
def test_segment_without_sizes_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no fragment"):
        measure_first_picture(data)


@pytest.mark.parametrize(
    ("tag", "code"),
    [("de", "deu"), ("pt-BR", "por"), ("FR", "fra"), ("fil", "fil"), ("zh-Hans", "zho"), ("qq", "und"), ("", "und")],
)
def test_language_tags_have_codes_of_containers(tag: str, code: str) -> None:
    assert to_iso639_2(tag) == code


def test_codes_and_tags_are_converted_both_ways() -> None:
    for short in ("de", "fr", "zh", "nb", "af", "zu", "cs", "nl", "fa"):
        assert parse_language(to_iso639_2(short)) == short


def test_vertical_cues_are_found() -> None:
    cues = [Cue(0, 1000, "vertical: no"), Cue(1000, 2000, "a --> b vertical:x")]
    assert not has_vertical_cues(format_webvtt(cues[:1], until_ms=9000).decode())
    vertical = [*cues, Cue(2000, 3000, "縦", "line:0 vertical:rl")]
    assert has_vertical_cues(format_webvtt(vertical, until_ms=9000).decode())
