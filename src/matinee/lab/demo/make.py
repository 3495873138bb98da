"""Makes the files of the demo reels: picture, sound, subtitles, artwork. A finished reel is not made again.

`python -m matinee.lab.demo.make DIRECTORY [SLUG…]` makes them in order and writes the `DemoFiles` of each as one line
of JSON.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from matinee.catalogue.api import Artwork
from matinee.drivers import process, rawvideo
from matinee.lab.demo import voice
from matinee.lab.demo.artwork import make_stills, make_title_artwork
from matinee.lab.demo.canvas import HD
from matinee.lab.demo.films import SCENES
from matinee.lab.demo.reels import REELS, DemoFiles, Line, Reel
from matinee.lab.demo.scene import FPS
from matinee.lab.demo.sound import compose, mix_voice, write_wav

_ISO_639_2 = {"en": "eng", "de": "deu", "fr": "fra", "ja": "jpn"}  # QuickTime's names of our languages
_NOTE = "files.json"


def make(reel: Reel, directory: Path, progress: Callable[[float], None] | None = None) -> DemoFiles:
    """Make a reel in its own folder below `directory` unless it exists; `progress` receives shares up to 1.

    The folder appears at once when it is complete, whenever the process is killed. Raises ToolFailed, OSError.
    """
    target = directory / reel.slug
    directory.mkdir(parents=True, exist_ok=True)
    with _lock(directory / f".{reel.slug}.lock"):
        if not target.exists():
            folder = directory / f".{reel.slug}.making"
            shutil.rmtree(folder, ignore_errors=True)  # what a killed process has left
            folder.mkdir()
            _make(reel, folder, progress or (lambda share: None))
            folder.rename(target)
    return _relocate(msgspec.json.decode((target / _NOTE).read_bytes(), type=DemoFiles), target)


async def make_in_process(slug: str, directory: Path, *, deadline_s: float = 900) -> DemoFiles:
    """Make a reel in another process, so that the caller stays responsive. Raises ToolFailed."""
    output: list[str] = []
    argv = [sys.executable, "-m", "matinee.lab.demo.make", str(directory), slug]
    await process.run(argv, deadline_s=deadline_s, nice=10, on_line=output.append)
    return msgspec.json.decode(output[-1], type=DemoFiles)


def _make(reel: Reel, folder: Path, progress: Callable[[float], None]) -> None:
    audio = _make_sound(reel, folder)
    master = folder / "master.mov"
    rawvideo.encode(
        _paint(reel, lambda share: progress(0.1 + 0.75 * share)),
        master,
        size=HD,
        painted_fps=f"{FPS}/{reel.frames_per_painting}",
        fps=FPS,
        sound=[(_ISO_639_2[language], audio[language]) for language in reel.audio],
        filters=f"{reel.filters},fade=in:d=0.7,fade=out:st={reel.seconds - 1}:d=1",
        crf=reel.crf,
    )
    for language in reel.audio:
        audio.pop(language).unlink()
    files = DemoFiles(
        slug=reel.slug,
        master=str(master),
        audio={language: str(path) for language, path in audio.items()},
        subtitles=_make_subtitles(reel, folder),
        artwork=make_title_artwork(reel, folder) if reel.episode in {None, 1} else [],
        stills=make_stills(reel, folder) if reel.episode else [],
    )
    (folder / _NOTE).write_bytes(msgspec.json.encode(_relocate(files, Path())))
    progress(1)


def _paint(reel: Reel, progress: Callable[[float], None]) -> Iterator[bytes]:
    frames, count = SCENES[reel.slug].render(HD), reel.seconds * FPS
    for index in range(0, count, reel.frames_per_painting):
        yield frames(index).planes()
        if index % FPS == 0:
            progress(index / count)


def _make_sound(reel: Reel, folder: Path) -> dict[str, Path]:
    """Mix the voice of each language with the same music."""
    music = compose(reel.score, reel.seconds)
    paths = {}
    for language in (*reel.audio, *reel.extra_audio):
        lines = [(n.start_s, n.end_s, n.spoken.get(language, n.text.get(language, ""))) for n in reel.lines]
        paths[language] = folder / f"sound.{language}.wav"
        write_wav(paths[language], mix_voice(music, voice.speak(lines, language, reel.seconds)))
    return paths


def _make_subtitles(reel: Reel, folder: Path) -> dict[str, str]:
    paths = {language: folder / f"subtitles.{language}.vtt" for language in reel.lines[0].text}
    for language, path in paths.items():
        path.write_text(to_webvtt(reel.lines, language), encoding="utf-8")
    return {language: str(path) for language, path in paths.items()}


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


def _relocate(files: DemoFiles, folder: Path) -> DemoFiles:
    """Return the same files in another folder."""

    def move(paths: dict[str, str]) -> dict[str, str]:
        return {language: str(folder / Path(path).name) for language, path in paths.items()}

    def move_art(pictures: list[Artwork]) -> list[Artwork]:
        return [replace(picture, path=str(folder / Path(picture.path).name)) for picture in pictures]

    master, audio, subtitles = str(folder / "master.mov"), move(files.audio), move(files.subtitles)
    artwork, stills = move_art(files.artwork), move_art(files.stills)
    return replace(files, master=master, audio=audio, subtitles=subtitles, artwork=artwork, stills=stills)


def main(arguments: list[str]) -> None:
    """Make some reels, or all."""
    directory, slugs = Path(arguments[0]), arguments[1:] or list(REELS)
    for slug in slugs:
        sys.stdout.buffer.write(msgspec.json.encode(make(REELS[slug], directory)) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
