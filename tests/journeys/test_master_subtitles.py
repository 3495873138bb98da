"""Subtitles of a master and beside it: every one is converted, or left out with a warning; the film is published."""

from pathlib import Path
from typing import Any

import pytest
from tests.journeys.encoding_deployment import EncodingDeployment
from tests.journeys.master_rig import FILM, make, worker
from tests.unit.encoding_rig import make_clip

from matinee.encoding.api import Order, SideFile, Unusable
from matinee.encoding.model.cues import Cue
from matinee.encoding.model.subtitles import parse_subtitles
from matinee.encoding.ports import Encoder

RUSSIAN = "1\n00:00:00,500 --> 00:00:01,500\nПривет\n\n2\n00:00:02,000 --> 00:00:03,000\nУлица\n"
FRENCH = """1
00:00:00,500 --> 00:00:01,500
<i>Où étais-tu ?</i>

2
00:00:02,000 --> 00:00:09,000
À demain, ma chère mère
"""
BEYOND = "1\n01:00:00,500 --> 01:00:01,500\nBeyond the end\n"
DRAWING = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Alignment
Style: Default,Arial,20,&H00FFFFFF,2

[Events]
Format: Layer, Start, End, Style, Text
Dialogue: 0,0:00:00.50,0:00:01.50,Default,Hello, {\\i1}world{\\i0}\\Nsecond\\hline
Dialogue: 1,0:00:02.00,0:00:03.00,Default,{\\p1}m 0 0 l 100 0 100 100 0 100{\\p0}
"""


async def make_master(path: Path, streams: dict[str, tuple[str, bytes]], *encode: str) -> Path:
    """Make a film of four seconds with subtitle streams: language → suffix and bytes of the file."""
    inputs: list[str] = []
    options: list[str] = ["-map", "0"]
    for n, (language, (suffix, data)) in enumerate(streams.items()):
        file = path.with_name(f"{language}.{suffix}")
        file.write_bytes(data)
        inputs += ["-i", f"file:{file}"]
        options += ["-map", str(n + 1), f"-metadata:s:s:{n}", f"language={language}"]
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-c:s", "copy", *encode]
    return await make_clip(path, *inputs, *options, *codec, seconds=4)


class DamagedStream:
    """An encoder that finds subtitles damaged: FFmpeg reads something else in their place."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def extract_subtitles(self, *, master: Path, stream: int, codec: str, out: Path) -> int:
        master.with_name("damaged.mkv").write_bytes(b"damaged")
        return await self._encoder.extract_subtitles(
            master=master.with_name("damaged.mkv"), stream=stream, codec=codec, out=out
        )


async def run_job(
    deployment: EncodingDeployment, order: Order, **options: Any
) -> tuple[list[str], dict[str, list[Cue]]]:
    """Process an order; return its warnings, and the cues of each language."""
    job = await deployment.encoding.submit(order=order)
    assert await worker(deployment, **options).run_next()
    job = await deployment.encoding.get_job(job_id=job.job_id)
    assert (job.state, job.reason) == ("done", "")
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    folder = deployment.objects / "assets" / asset.asset_id
    cues = {track.language: parse_subtitles((folder / track.path).read_bytes(), "vtt") for track in asset.text}
    return [warning for warning in job.warnings if "audio" not in warning], cues


async def test_streams_are_converted_or_left_out_with_a_warning(deployment: EncodingDeployment, tmp_path: Path) -> None:
    streams = {
        "rus": ("srt", RUSSIAN.encode("cp1251")),
        "eng": ("ass", DRAWING.encode()),
        "fra": ("srt", FRENCH.encode("cp1252")),
        "deu": ("srt", BEYOND.encode()),
        "pol": ("srt", b"1\n00:00:00,500 --> 00:00:01,500\n\xe9\xff\xbf\n"),
        "ita": ("vtt", b"WEBVTT\n\n00:00.500 --> 00:01.500 line:0\nCiao & <v Bob>ciao</v>\n"),
    }
    master = await make_master(tmp_path / "film.mkv", streams)
    warnings, cues = await run_job(deployment, Order(title_id=FILM, path=str(master)))
    assert cues == {
        "ru": [Cue(500, 1500, "Привет"), Cue(2000, 3000, "Улица")],
        "en": [Cue(500, 1500, "Hello, world\nsecond line")],
        "fr": [Cue(500, 1500, "<i>Où étais-tu ?</i>"), Cue(2000, 4000, "À demain, ma chère mère")],
        "it": [Cue(500, 1500, "Ciao &amp; <v Bob>ciao</v>", "line:0")],
    }
    assert warnings == [
        "subtitles (stream 1): they are not UTF-8 and were read as windows-1251: check the letters",
        "subtitles (stream 3): they are not UTF-8 and were read as windows-1252: check the letters",
        (
            "subtitles (stream 4) are left out: no subtitle is within the film: the film ends at 00:00:04.000, "
            "the first subtitle begins at 01:00:00.500"
        ),
        (
            "subtitles (stream 5) are left out: line 3: this is not UTF-8 text, and it is not sure what else it is; "
            "save the file as UTF-8"
        ),
    ]


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
async def test_text_from_before_the_film_does_not_move_the_rest(
    deployment: EncodingDeployment, tmp_path: Path, name: str
) -> None:
    text = tmp_path / "late.srt"
    text.write_text("1\n00:00:01,000 --> 00:00:02,500\nEarly\n\n2\n00:00:04,000 --> 00:00:05,000\nOn time\n")
    shift = ["-vf", "setpts=PTS+2/TB", "-map", "0", "-map", "1", "-c:v", "libx264", "-preset", "ultrafast"]
    codec = "mov_text" if name.endswith("mp4") else "srt"
    master = await make_clip(tmp_path / name, "-i", f"file:{text}", *shift, "-c:s", codec, seconds=4)
    _, cues = await run_job(deployment, Order(title_id=FILM, path=str(master)))
    found = [(cue.start_ms, cue.end_ms, cue.text) for cue in next(iter(cues.values()))]
    assert found == [(0, 500, "Early"), (2000, 3000, "On time")]


@pytest.mark.parametrize("name", ["film.mp4", "film.mov"])
async def test_timed_text_stays_in_step_where_a_film_is_cut_within_a_cue(
    deployment: EncodingDeployment, tmp_path: Path, name: str
) -> None:
    whole = await make_master(tmp_path / f"whole-{name}", {"rus": ("srt", RUSSIAN.encode())}, "-c:s", "mov_text")
    master = await make(tmp_path / name, "-ss", "1", "-i", f"file:{whole}", "-map", "0", "-c", "copy")
    _, cues = await run_job(deployment, Order(title_id=FILM, path=str(master)))
    assert [(cue.start_ms, cue.text) for cue in cues["ru"]] == [(0, "Привет"), (1000, "Улица")]
    assert cues["ru"][0].end_ms == 500


async def test_timed_text_of_mp4_is_read_in_any_character_set(deployment: EncodingDeployment, tmp_path: Path) -> None:
    streams = {"fra": ("srt", FRENCH.encode()), "rus": ("srt", RUSSIAN.replace("Привет", "Ulitsa").encode())}
    master = await make_master(tmp_path / "film.mp4", streams, "-c:s", "mov_text")
    master.write_bytes(master.read_bytes().replace(b"\0\x06Ulitsa", b"\0\x06" + "Привет".encode("cp1251")))
    master.write_bytes(
        master.read_bytes().replace(b"\0\x0a" + "Улица".encode(), b"\0\x0a" + "Улица улиц".encode("cp1251"))
    )
    warnings, cues = await run_job(deployment, Order(title_id=FILM, path=str(master)))
    assert cues == {
        "fr": [Cue(500, 1500, "<i>Où étais-tu ?</i>"), Cue(2000, 4000, "À demain, ma chère mère")],
        "ru": [Cue(500, 1500, "Привет"), Cue(2000, 3000, "Улица улиц")],
    }
    assert warnings == ["subtitles (stream 2): they are not UTF-8 and were read as windows-1251: check the letters"]


async def test_a_stream_that_cannot_be_extracted_is_left_out(deployment: EncodingDeployment, tmp_path: Path) -> None:
    master = await make_master(tmp_path / "film.mkv", {"rus": ("srt", RUSSIAN.encode())})
    encoder = DamagedStream(deployment.tools.encoder)
    warnings, cues = await run_job(deployment, Order(title_id=FILM, path=str(master)), encoder=encoder)
    assert (warnings, cues) == (["subtitles (stream 1) are left out: they cannot be read"], {})


async def test_side_files_are_checked_with_the_film(deployment: EncodingDeployment, tmp_path: Path) -> None:
    master = await make_master(tmp_path / "film.mkv", {})
    (tmp_path / "ru.srt").write_bytes((RUSSIAN + "\n" + BEYOND).encode("koi8-r"))
    (tmp_path / "beyond.srt").write_text(BEYOND)
    (tmp_path / "unsure.srt").write_bytes(b"1\n00:00:00,500 --> 00:00:01,500\n\xe9\xff\xbf\n")
    refusals = {
        "beyond.srt": r"beyond\.srt: subtitles: no subtitle is within the film: the film ends at 00:00:04\.000",
        "unsure.srt": r"unsure\.srt: subtitles, line 3: this is not UTF-8 text, and it is not sure what else it is",
    }
    for name, why in refusals.items():
        side = [SideFile(path=str(tmp_path / name), language="ru")]
        with pytest.raises(Unusable, match=why):
            await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master), subtitles=side))
    side = [SideFile(path=str(tmp_path / "ru.srt"), language="ru")]
    order = Order(title_id=FILM, path=str(master), subtitles=side)
    notes = [
        "ru.srt: they are not UTF-8 and were read as KOI8-R: check the letters",
        "ru.srt: 1 of 3 begin after the end of the film and are left out",
    ]
    report = await deployment.encoding.inspect(path=str(master), subtitles=side)
    assert report.warnings[-2:] == notes
    warnings, cues = await run_job(deployment, order)
    assert cues == {"ru": [Cue(500, 1500, "Привет"), Cue(2000, 3000, "Улица")]}
    assert warnings == notes
