"""Unusual and malformed subtitle files of each kind: read rightly, or refused with the line and the reason."""

import pytest

from matinee.encoding.model.cues import Cue, InvalidSubtitles
from matinee.encoding.model.subtitles import parse_subtitles

A, B = "00:00:01,000 --> 00:00:02,000", "00:00:03,000 --> 00:00:04,000"
FIRST, SECOND = Cue(1000, 2000, "One"), Cue(3000, 4000, "Two")

SRT_READ: dict[str, tuple[str, list[Cue]]] = {
    "mark": (f"\ufeff1\n{A}\nOne\n\n2\n{B}\nTwo\n", [FIRST, SECOND]),
    "marks inside, of joined files": (f"\ufeff1\n{A}\nOne\n\n\ufeff1\n{B}\nTwo\n", [FIRST, SECOND]),
    "CR": (f"1\r{A}\rOne\r\r2\r{B}\rTwo\r", [FIRST, SECOND]),
    "mixed ends": (f"1\r\n{A}\rOne\n\r\n2\n{B}\r\nTwo", [FIRST, SECOND]),
    "doubled CR": (f"1\r\r\n{A}\r\r\nOne\r\r\n\r\r\n2\r\r\n{B}\r\r\nTwo\r\r\n", [FIRST, SECOND]),
    "no blank lines": (f"1\n{A}\nOne\n2\n{B}\nTwo\n", [FIRST, SECOND]),
    "no blank lines and no numbers": (f"{A}\nOne\n{B}\nTwo", [FIRST, SECOND]),
    "double spacing": (f"1\n\n{A}\n\nOne\n\n2\n\n{B}\n\nTwo\n", [FIRST, SECOND]),
    "missing numbers": (f"{A}\nOne\n\n{B}\nTwo\n", [FIRST, SECOND]),
    "wrong numbers": (f"7\n{A}\nOne\n\n7\n{B}\nTwo\n", [FIRST, SECOND]),
    "a number as text": (f"1\n{A}\n1984\n\n2\n{B}\nTwo\n", [Cue(1000, 2000, "1984"), SECOND]),
    "a number as text before a number": (f"1\n{A}\n1984\n2\n{B}\nTwo\n", [Cue(1000, 2000, "1984"), SECOND]),
    "a blank line in a text": (f"1\n{A}\nOne\n\nmore\n\n2\n{B}\nTwo\n", [Cue(1000, 2000, "One\nmore"), SECOND]),
    "an arrow in a text": (f"1\n{A}\nLeft --> right\n", [Cue(1000, 2000, "Left --&gt; right")]),
    "a time in a text": (f"1\n{A}\nAt 10:30, or\n10:30\n", [Cue(1000, 2000, "At 10:30, or\n10:30")]),
    "not in order": (f"2\n{B}\nTwo\n\n1\n{A}\nOne\n", [FIRST, SECOND]),
    "overlapping": (f"1\n{A}\nOne\n\n2\n00:00:01,500 --> 00:00:04,000\nTwo\n", [FIRST, Cue(1500, 4000, "Two")]),
    "no milliseconds, dots, spaces": ("1\n0:00:01-->00:02.000  \nOne\n", [FIRST]),
    "over a day": (f"{A}\nOne\n\n25:00:00,000 --> 100:00:00,5\nLate\n", [FIRST, Cue(90_000_000, 360_000_500, "Late")]),
    "positions in pixels": (f"1\n{A} X1:100 X2:200 Y1:10 Y2:20\nOne\n", [FIRST]),
    "settings": (f"1\n{A} line:10% align:middle colour:x\nOne\n", [Cue(1000, 2000, "One", "line:10% align:center")]),
    "markup": (f'1\n{A}\n{{\\an8}}<font color="#fff" size=3><i>One</i></font>\n', [Cue(1000, 2000, "<i>One</i>")]),
    "markup that does not end": (f"1\n{A}\n<font One <b\n", [Cue(1000, 2000, "&lt;font One &lt;b")]),
    "entities": (
        f"1\n{A}\n&quot;caf&eacute;&quot; &#38; &lt;b&gt; &bogus; R&B\n",
        [Cue(1000, 2000, '"café" &amp; &lt;b> &amp;bogus; R&amp;B')],
    ),
    "an entity with a huge number": (f"1\n{A}\n&#{'9' * 3000};\n", [Cue(1000, 2000, f"&amp;#{'9' * 3000};")]),
    "empty texts": (f"1\n{A}\n\n2\n{B}\nTwo\n\n3\n00:00:05,000 --> 00:00:06,000\n<i> </i>\n", [SECOND]),
    "no duration": ("1\n00:00:01,000 --> 00:00:01,000\nNever\n\n2\n" + f"{B}\nTwo\n", [SECOND]),
    "right to left": (f"1\n{A}\n\u202bשלום, John\u202c\n", [Cue(1000, 2000, "\u202bשלום, John\u202c")]),
    "zero bytes at the ends of lines": (f"1\n{A}\nOne\0\n\n2\n{B}\nTwo\0\0\r\n", [FIRST, SECOND]),
    "WebVTT with this name": ("WEBVTT\n\n00:01.000 --> 00:02.000\nOne\n", [FIRST]),
}
VTT_READ: dict[str, tuple[str, list[Cue]]] = {
    "no blank line after the header": ("WEBVTT\n00:01.000 --> 00:02.000\nOne\n", [FIRST]),
    "timestamp map": (
        "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n00:01.000 --> 00:02.000\nOne\n",
        [FIRST],
    ),
    "regions, styles, notes": (
        (
            "WEBVTT\n\nREGION\nid:a\nwidth:40%\n\nSTYLE\n::cue { color: red }\n\nNOTE a\nb\n\n"
            "name of it\n00:01.000 --> 00:02.000 region:a line:0\nOne\n"
        ),
        [Cue(1000, 2000, "One", "line:0")],
    ),
    "tags": (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Bob><c.loud>One</c> <00:01.500>two</v> <x-y>three</x-y>\n",
        [Cue(1000, 2000, "<v Bob><c.loud>One</c> <00:01.500>two</v> three")],
    ),
    "entities": (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n&lrm;a &lt; b&nbsp;&amp;\n",
        [Cue(1000, 2000, "\u200ea &lt; b\xa0&amp;")],
    ),
    "tab in the header": ("WEBVTT\tKind: x\n\n00:01.000 --> 00:02.000\nOne\n", [FIRST]),
    "settings that are none": ("WEBVTT\n\n00:01.000 --> 00:02.000 line:x position:1000000000%\nOne\n", [FIRST]),
}
ASS_HEAD = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n[Events]\n"
)
ASS_FORMAT = "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"


def ass(*texts: str) -> str:
    lines = (f"Dialogue: 0,0:00:0{2 * n + 1}.00,0:00:0{2 * n + 2}.00,Default,,0,0,0,,{t}" for n, t in enumerate(texts))
    return ASS_HEAD + ASS_FORMAT + "\n".join(lines) + "\n"


ASS_READ: dict[str, tuple[str, list[Cue]]] = {
    "drawing": (ass("One", "{\\an7\\p1}m 0 0 l 100 0 100 100{\\p0}Two"), [FIRST, SECOND]),
    "only a drawing": (ass("One", "{\\p2}m 0 0 l 100 0"), [FIRST]),
    "a drawing with other tags": (
        ass("{\\pos(1,2)\\pbo5}One", "{\\p1\\c&HFF&}m 0 0{\\c&H0&} l 5 5{\\p0}Two"),
        [FIRST, SECOND],
    ),
    "breaks and hard spaces": (ass("One\\Ntwo\\nthree\\hfour"), [Cue(1000, 2000, "One\ntwo\nthree four")]),
    "karaoke": (ass("{\\k20}O{\\kf30}n{\\ko10}e"), [FIRST]),
    "nested blocks": (ass("{\\b1{\\i1}One{}"), [FIRST]),
    "a block that does not end": (ass("One {\\i1"), [Cue(1000, 2000, "One {\\i1")]),
    "comments": (ass("{a note}One").replace("Dialogue", "Comment") + ass("One").partition(ASS_FORMAT)[2], [FIRST]),
    "commas in the text": (ass("One, two, three"), [Cue(1000, 2000, "One, two, three")]),
    "layers of the same text": (ass("One") + ass("{\\bord3}One").partition(ASS_FORMAT)[2], [FIRST]),
    "SSA v4": (
        (
            "[Script Info]\nScriptType: v4.00\n\n[Events]\n"
            "Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
            "Dialogue: Marked=0,0:00:01.00,0:00:02.00,Default,,0000,0000,0000,,One\n"
        ),
        [FIRST],
    ),
    "dialogue in another section": (ass("One") + "[Fonts]\nDialogue: 0,x,y,,,,,,,no\n", [FIRST]),
    "CRLF and mark": ("\ufeff" + ass("One").replace("\n", "\r\n"), [FIRST]),
    "small letters": (ass("One").replace("[Events]", "[events]").replace("Dialogue", "dialogue"), [FIRST]),
    "tags of WebVTT": (ass("<i>One</i> & <x"), [Cue(1000, 2000, "<i>One</i> &amp; &lt;x")]),
}
REFUSED: dict[str, tuple[str, str, int | None, str]] = {
    "negative": ("srt", "1\n-00:00:01,000 --> 00:00:02,000\nOne\n", 2, "cannot be read"),
    "reversed": ("srt", "1\n00:00:02,000 --> 00:00:01,000\nOne\n", 2, "ends before it begins"),
    "a wrong arrow": ("srt", f"1\n{A}\nOne\n\n2\n00:00:03,000 -> 00:00:04,000\nTwo\n", 5, "was expected"),
    "a wrong arrow without number": ("srt", f"{A}\nOne\n\n00:00:03,000 - > 00:00:04,000\nTwo\n", 4, "was expected"),
    "a damaged time without blank lines": (
        "srt",
        f"1\n{A}\nOne\n2\n00:00:0x,000 --> 00:00:04,000\nTwo\n",
        5,
        "cannot be",
    ),
    "61 seconds": ("srt", "1\n00:00:61,000 --> 00:02:00,000\nOne\n", 2, "at most 59"),
    "zero bytes": ("srt", f"1\n{A}\nO\0ne\n", 3, "not text"),
    "MicroDVD": ("srt", "{0}{25}One|two\n{50}{75}Two\n", 1, "MicroDVD"),
    "MicroDVD by its name": ("sub", "{0}{25}One\n", None, "are not subtitles that Matinee reads"),
    "a very long line": ("srt", f"1\n{A}\n{'x' * 5000}\n", 2, "5,000 letters cannot be shown"),
    "only empty texts": ("srt", f"1\n{A}\n\n2\n{B}\n\n", None, "none in it"),
    "a page of the web": ("srt", "<!DOCTYPE html>\n<title>404</title>\n", 1, "was expected"),
    "no header": ("vtt", "00:01.000 --> 00:02.000\nOne\n", 1, "begins with the line WEBVTT"),
    "a header of another word": ("vtt", "WEBVTTX\n\n00:01.000 --> 00:02.000\nOne\n", 1, "begins with the line WEBVTT"),
    "only a header": ("vtt", "WEBVTT\n", None, "none in it"),
    "an arrow without times": ("vtt", "WEBVTT\n\n --> \nOne\n", 3, "cannot be read"),
    "reversed in ASS": ("ass", ass("One").replace("0:00:02.00", "0:00:00.50"), 10, "ends before it begins"),
    "a time in ASS": ("ass", ass("One").replace("0:00:02.00", "soon"), 10, "cannot be read"),
    "no format": ("ass", "[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,One\n", 2, "as its Format line says"),
    "a format of the styles only": ("ass", ass("One").replace(ASS_FORMAT, ""), 9, "as its Format line says"),
    "only drawings": ("ass", ass("{\\p1}m 0 0 l 5 5"), None, "none in it"),
}
READ = [(kind, name) for kind, cases in (("srt", SRT_READ), ("vtt", VTT_READ), ("ass", ASS_READ)) for name in cases]


@pytest.mark.parametrize(("kind", "name"), READ)
def test_an_unusual_file_is_read(kind: str, name: str) -> None:
    text, cues = {"srt": SRT_READ, "vtt": VTT_READ, "ass": ASS_READ}[kind][name]
    assert parse_subtitles(text.encode(), kind) == cues


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_wrong_is_refused_with_its_line_and_reason(name: str) -> None:
    kind, text, line, what = REFUSED[name]
    with pytest.raises(InvalidSubtitles) as refused:
        parse_subtitles(text.encode(), kind)
    assert what in refused.value.what
    assert refused.value.line == line
