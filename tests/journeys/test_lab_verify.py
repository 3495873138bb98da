"""`matinee lab verify`: a right output passes, and the comparison with another source names the difference."""

from pathlib import Path

from tests.journeys.master_rig import FILM, open_with_film, worker
from tests.unit.encoding_rig import FFMPEG, make_clip

from matinee.drivers.objects import ObjectStore
from matinee.encoding.api import Order
from matinee.lab.verify.verify import Output, verify

TEXT = "1\n00:00:00,500 --> 00:00:01,500\nHello\n\n2\n00:00:02,000 --> 00:00:03,000\nGood <i>bye</i>\n"
# A tone that rises, so that no two moments sound alike.
SOUND = "aevalsrc=sin(2*PI*(200+150*t)*t):s=48000:d=4"
COPY = ("-map", "0", "-c", "copy")
# How each other source is made of the right one, and what is then wrong.
OTHERS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "sound 200 ms later": (
        ("-map", "0:v", "-map", "0:s", "-map", "0:a", "-c:v", "copy", "-c:s", "copy", "-af", "adelay=200:all=1"),
        {"sound": "-200 ms to the picture"},
    ),
    "a second of silence": ((*COPY, "-c:a", "flac", "-af", "volume=0:enable='between(t,1,2)'"), {"gaps": "1 s added"}),
    "one frame more": (
        (*COPY, "-c:v", "libx264", "-vf", "tpad=stop=1:stop_mode=clone"),
        {"frames": "1 too few"},
    ),
    "one frame in the middle less": (
        (*COPY, "-c:v", "libx264", "-vf", "select=not(eq(n\\,50)),setpts=N/25/TB"),
        {"frames": "1 too many"},
    ),
    "other colours": ((*COPY, "-c:v", "libx264", "-vf", "hue=h=20"), {"colours": "patches within"}),
    "another shape": ((*COPY, "-c:v", "libx264", "-vf", "setsar=4/3"), {"size": "320x180 of 427x180"}),
    "another sound": (
        ("-f", "lavfi", "-i", "anoisesrc=d=4:a=0.3", "-map", "0:v", "-map", "0:s", "-map", "1:a", "-c:v", "copy"),
        {"sound": "it is not the source's"},
    ),
    "another sound too": ((*COPY, "-map", "0:a", "-metadata:s:a:1", "title=Second"), {"tracks": "no warning names it"}),
    "chapters": (("-i", "chapters.txt", *COPY, "-map_chapters", "1"), {"chapters": "0 of 2"}),
    "other subtitles": (
        ("-i", "other.srt", "-map", "0:v", "-map", "0:a", "-map", "1", "-c:v", "copy", "-c:a", "copy"),
        {"cues": "2 of 1; 0.500 to 1.500 s, not 0.500 to 1.900 s; 'Hello', not 'Hallo'"},
    ),
}
CHAPTERS = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle=One\n"
CHAPTERS += "[CHAPTER]\nTIMEBASE=1/1000\nSTART=2000\nEND=4000\ntitle=Two\n"


async def publish(master: Path, data: Path) -> Output:
    """Make a title of a master, and return its output."""
    async with open_with_film(data) as deployment:
        job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master), language="en"))
        assert await worker(deployment).run_next()
        job = await deployment.encoding.get_job(job_id=job.job_id)
        assert (job.state, job.reason) == ("done", "")
        asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
        labels = ("AUDIO", "SD")
        keys = await deployment.licensing.ensure_content_keys(asset_id=asset.asset_id, labels=labels)
        store = ObjectStore(f"file://{deployment.objects}")
        return Output(asset=asset, read=store.get, keys={key.key_id: key.key for key in keys}, warnings=job.warnings)


async def test_a_right_output_passes_and_other_sources_are_reported(tmp_path: Path) -> None:
    for name in ("data", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "text.srt").write_text(TEXT)
    (tmp_path / "other.srt").write_text("1\n00:00:00,500 --> 00:00:01,900\nHallo\n")
    (tmp_path / "chapters.txt").write_text(CHAPTERS)
    inputs = ["-f", "lavfi", "-i", SOUND, "-i", f"file:{tmp_path}/text.srt", "-map", "0", "-map", "1", "-map", "2"]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "flac", "-c:s", "srt"]
    master = await make_clip(tmp_path / "film.mkv", *inputs, *encode, size="320x180", seconds=4)
    output = await publish(master, tmp_path / "data")
    checks = await verify(output, master, tmp_path / "work")
    assert [check for check in checks if check.result != "ok"] == []
    names = {"duration", "frames", "start", "size", "colours", "sound", "gaps", "tracks", "length", "loudness", "cues"}
    assert {check.name for check in checks} == names
    for name, (change, expected) in OTHERS.items():
        other = tmp_path / "other.mkv"
        await FFMPEG.run(["-i", f"file:{master}", *change, f"file:{other}"], cwd=tmp_path, deadline_s=60)
        checks = await verify(output, other, tmp_path / "work")
        wrong = {check.name: check.found for check in checks if check.result == "WRONG"}
        assert expected.keys() <= wrong.keys(), name
        for check, found in expected.items():
            assert found in wrong[check], name
