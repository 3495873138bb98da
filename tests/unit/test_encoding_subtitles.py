"""Subtitles: accepted formats, errors with their line, and WebVTT output."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.encoding.model.cues import LIMIT_LETTERS, Cue, InvalidSubtitles
from matinee.encoding.model.subtitles import LIMIT_BYTES, count_outside, format_webvtt, parse_subtitles, shift

SRT = """\ufeff1
00:00:01,000 --> 00:00:02,500
<i>Hello</i>, <font color="red">you</font> & me

2
00:00:03,000 --> 00:00:04,000 align:start
Two
lines
"""
ASS = """[Script Info]
Title: x

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.50,0:00:02.00,Default,,0,0,0,,{\\an8}Up, there\\Nand down
Comment: 0,0:00:01.50,0:00:02.00,Default,,0,0,0,,not shown
"""


def test_subrip_becomes_webvtt() -> None:
    assert format_webvtt(parse_subtitles(SRT.encode(), "srt"), until_ms=60_000).decode() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<i>Hello</i>, you &amp; me\n\n"
        "00:00:03.000 --> 00:00:04.000 align:start\nTwo\nlines\n"
    )


def test_substation_keeps_text_without_style() -> None:
    assert parse_subtitles(ASS.encode(), "ass") == [Cue(1500, 2000, "Up, there\nand down")]


def test_webvtt_may_have_notes_styles_and_names() -> None:
    head = "WEBVTT - a film\nKind: captions\n\nNOTE nothing\n\nSTYLE\n::cue {}\n\n"
    text = f"{head}first\n01:02.000 --> 01:03.000 line:0\nHi\n"
    assert parse_subtitles(text.encode(), "vtt") == [Cue(62_000, 63_000, "Hi", "line:0")]


def test_other_line_endings_and_utf_16_are_read() -> None:
    assert parse_subtitles(SRT.replace("\n", "\r\n").encode(), "srt") == parse_subtitles(SRT.encode(), "srt")
    assert parse_subtitles(SRT.removeprefix("\ufeff").encode("utf-16"), "srt") == parse_subtitles(SRT.encode(), "srt")


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        (b"1\n00:00:01,000 -> 00:00:02,000\nx\n", "srt", 1),
        (b"1\n00:00:01,000 --> 00:00:02,000\nx\n\n2\n00:00:0x,000 --> 00:00:02,000\ny\n", "srt", 6),
        (b"1\n00:00:05,000 --> 00:00:02,000\nx\n", "srt", 2),
        (b"1\n00:61:05,000 --> 01:00:02,000\nx\n", "srt", 2),
        (b"1\n00:00:01,000 --> 00:00:02,000\n\xe9\xff\xbf\n", "srt", 3),
        (b"00:00:01.000 --> 00:00:02.000\nx\n", "vtt", 1),
        (b"", "srt", None),
        (b"\x00\x01\x02", "srt", 1),
        (b"hello\n", "ass", 1),
        (b"[Events]\nDialogue: 0,1,2\n", "ass", 2),
        (b"[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,nine,x\n", "ass", 3),
        (b"9" * 5000 + b":00:05,000 --> 01:00:02,000\nx\n", "srt", 1),
        (b"[Events]\nFormat: Start, End, Text\nDialogue: " + b"9" * 5000 + b":00:01.00,0:00:02.00,x\n", "ass", 3),
        (b"anything", "docx", None),
    ],
)
def test_invalid_file_is_refused_with_its_line(text: bytes, kind: str, line: int | None) -> None:
    with pytest.raises(InvalidSubtitles) as refused:
        parse_subtitles(text, kind)
    assert refused.value.line == line


@pytest.mark.parametrize("kind", ["srt", "vtt", "ass"])
@pytest.mark.parametrize("part", ["{\\", "{", "<a", "</v ", "<c.", "<i>", "&#1", "-->", "\\N", "<00:", " "])
def test_long_repetition_is_parsed_or_refused(kind: str, part: str) -> None:
    start = {"srt": "00:00:01.000 --> 00:00:02.000\n", "ass": "[Events]\nFormat: Start, End, Text\n"}
    start |= {"vtt": f"WEBVTT\n\n{start['srt']}", "ass": f"{start['ass']}Dialogue: 0:00:01.00,0:00:02.00,"}
    # In quadratic time this would not end.
    refusal = ""
    try:
        (cue,) = parse_subtitles(f"{start[kind]}x{part * 500_000}x\n".encode(), kind)
        assert cue.text[0] == "x"
        assert len(cue.text) <= LIMIT_LETTERS
    except InvalidSubtitles as error:  # either is right
        refusal = error.what
    assert not refusal or "letters cannot be shown" in refusal


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(InvalidSubtitles, match="at most 4 MB"):
        parse_subtitles(b"x" * (LIMIT_BYTES + 1), "srt")


def test_subtitles_are_shifted_and_cut_at_the_end() -> None:
    cues = [Cue(0, 900, "gone"), Cue(1000, 5000, "cut"), Cue(9000, 9500, "after")]
    assert shift(cues, -1000) == [Cue(0, 4000, "cut"), Cue(8000, 8500, "after")]
    assert format_webvtt(shift(cues, -1000), until_ms=3000).decode() == "WEBVTT\n\n00:00:00.000 --> 00:00:03.000\ncut\n"


def test_cues_after_the_end_are_counted_and_refused_where_all_are() -> None:
    cues = [Cue(1000, 5000, "in"), Cue(3000, 9500, "after")]
    assert count_outside(cues, 3000) == 1
    with pytest.raises(InvalidSubtitles, match=r"no subtitle is within the film: .* 00:00:00\.900.* 00:00:01\.000"):
        count_outside(cues, 900)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**5), st.text("ab <>&-\né", min_size=1))))
def test_written_webvtt_parses_to_the_same_cues(entries: list[tuple[int, int, str]]) -> None:
    cues = [Cue(start, start + length, text) for start, length, text in entries]
    source = "\n\n".join(
        f"{_format_time(c.start_ms)} --> {_format_time(c.end_ms)}\n{c.text}" for c in cues if "-->" not in c.text
    )
    try:
        once = parse_subtitles(source.encode(), "srt")
    except InvalidSubtitles:
        return
    assert parse_subtitles(format_webvtt(once, until_ms=10**9), "vtt") == once


def _format_time(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


@given(st.binary(max_size=200), st.sampled_from(["srt", "vtt", "ass"]))
def test_any_bytes_are_parsed_or_refused(data: bytes, kind: str) -> None:
    with contextlib.suppress(InvalidSubtitles):
        assert parse_subtitles(data, kind)
