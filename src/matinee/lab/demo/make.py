"""Makes the files of the demo reels: picture, sound, subtitles, artwork. A finished reel is not made again.

`python -m matinee.lab.demo.make DIRECTORY [SLUG…]` makes them in order and writes the `DemoFiles` of each as one line
of JSON.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from matinee.drivers import process, rawvideo
from matinee.lab.demo import voice
from matinee.lab.demo.artwork import make_stills, make_title_artwork
from matinee.lab.demo.canvas import HD
from matinee.lab.demo.films import SCENES
from matinee.lab.demo.reels import REELS, DemoFiles, Line, Reel
from matinee.lab.demo.scene import FPS
from matinee.lab.demo.sound import compose, mix_voice, write_wav

_QUICKTIME = {"en": "eng", "de": "ger", "fr": "fra", "ja": "jpn"}  # FFmpeg drops other codes, also "deu", from a .mov
_NOTE = "files.json"


def make(reel: Reel, directory: Path) -> DemoFiles:
    """Make a reel in its own folder below `directory` unless it exists.

    The folder appears at once when it is complete, whenever the process is killed. Raises ToolFailed, OSError.
    """
    target = directory / reel.slug
    directory.mkdir(parents=True, exist_ok=True)
    with _lock(directory / f".{reel.slug}.lock"):
        if not target.exists():
            folder = directory / f".{reel.slug}.making"
            shutil.rmtree(folder, ignore_errors=True)  # what a killed process has left
            folder.mkdir()
            _make(reel, folder)
            folder.rename(target)
    return replace(msgspec.json.decode((target / _NOTE).read_bytes(), type=DemoFiles), folder=str(target))


async def make_in_process(slug: str, directory: Path, *, deadline_s: float = 900) -> DemoFiles:
    """Make a reel in another process, so that the caller stays responsive. Raises ToolFailed."""
    output: list[str] = []
    argv = [sys.executable, "-m", "matinee.lab.demo.make", str(directory), slug]
    await process.run(argv, deadline_s=deadline_s, nice=10, on_line=output.append)
    return msgspec.json.decode(output[-1], type=DemoFiles)


def _make(reel: Reel, folder: Path) -> None:
    files = DemoFiles(
        slug=reel.slug,
        audio=_make_sound(reel, folder),
        subtitles=_make_subtitles(reel, folder),
        artwork=make_title_artwork(reel, folder) if reel.episode in {None, 1} else [],
        stills=make_stills(reel, folder) if reel.episode else [],
    )
    rawvideo.encode(
        _paint(reel),
        folder / files.master,
        size=HD,
        painted_fps=f"{FPS}/{reel.frames_per_painting}",
        fps=FPS,
        sound=[(_QUICKTIME[language], folder / files.audio[language]) for language in reel.audio],
        filters=f"{reel.filters},fade=in:d=0.7,fade=out:st={reel.seconds - 1}:d=1",
        crf=reel.crf,
    )
    for language in reel.audio:
        (folder / files.audio.pop(language)).unlink()
    (folder / _NOTE).write_bytes(msgspec.json.encode(files))


def _paint(reel: Reel) -> Iterator[bytes]:
    frames = SCENES[reel.slug].render(HD)
    for index in range(0, reel.seconds * FPS, reel.frames_per_painting):
        yield frames(index).planes()


def _make_sound(reel: Reel, folder: Path) -> dict[str, str]:
    """Mix the voice of each language with the same music."""
    music, names = compose(reel.score, reel.seconds), {}
    for language in (*reel.audio, *reel.extra_audio):
        lines = [(n.start_s, n.end_s, n.spoken.get(language, n.text.get(language, ""))) for n in reel.lines]
        names[language] = f"sound.{language}.wav"
        write_wav(folder / names[language], mix_voice(music, voice.speak(lines, language, reel.seconds)))
    return names


def _make_subtitles(reel: Reel, folder: Path) -> dict[str, str]:
    names = {language: f"subtitles.{language}.vtt" for language in reel.lines[0].text}
    for language, name in names.items():
        (folder / name).write_text(to_webvtt(reel.lines, language), encoding="utf-8")
    return names


def to_webvtt(lines: tuple[Line, ...], language: str) -> str:
    """Return lines as a WebVTT file."""
    cues = [f"{_timestamp(n.start_s)} --> {_timestamp(n.end_s)}\n{n.text[language]}\n" for n in lines]
    return "\n".join(["WEBVTT\n", *cues])


def _timestamp(seconds: float) -> str:
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    return f"00:{minutes:02}:{ms // 1000:02}.{ms % 1000:03}"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait until no other process makes the same reel."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> None:
    """Make some reels, or all."""
    directory, slugs = Path(arguments[0]), arguments[1:] or list(REELS)
    for slug in slugs:
        sys.stdout.buffer.write(msgspec.json.encode(make(REELS[slug], directory)) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
