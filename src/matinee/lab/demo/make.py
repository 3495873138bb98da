"""Makes the demo films: picture, sound, subtitles, artwork. A finished film is not made again.

`python -m matinee.lab.demo.make DIRECTORY [SLUG…]` makes them in order and says when each is done by one JSON
line, the `DemoFiles`.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from matinee.drivers import process, rawvideo
from matinee.lab.demo import artwork, voice
from matinee.lab.demo.canvas import HD
from matinee.lab.demo.reel import FPS, DemoFiles, Line, Picture, Reel
from matinee.lab.demo.reels import REELS
from matinee.lab.demo.sound import compose, mixed, write

# How QuickTime calls our languages.
_ISO_639_2 = {"en": "eng", "de": "deu", "fr": "fra", "ja": "jpn"}
_NOTE = "files.json"


def make(reel: Reel, directory: Path, progress: Callable[[float], None] | None = None) -> DemoFiles:
    """Make a film in a folder of its own below `directory`, unless it is there; `progress` hears shares up to 1.

    A folder is there whole or not at all, whenever we are killed. Raises ToolFailed, OSError.
    """
    target = directory / reel.slug
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory / f".{reel.slug}.lock"):
        if not target.exists():
            folder = _swept(directory / f".{reel.slug}.making")
            _make(reel, folder, progress or (lambda share: None))
            folder.rename(target)
    return _moved(msgspec.json.decode((target / _NOTE).read_bytes(), type=DemoFiles), target)


async def make_apart(slug: str, directory: Path, *, deadline_s: float = 900) -> DemoFiles:
    """The same in a process of its own, so that whoever asks stays responsive. Raises ToolFailed."""
    said: list[str] = []
    argv = [sys.executable, "-m", "matinee.lab.demo.make", str(directory), slug]
    await process.run(argv, deadline_s=deadline_s, nice=10, on_line=said.append)
    return msgspec.json.decode(said[-1], type=DemoFiles)


def _make(reel: Reel, folder: Path, progress: Callable[[float], None]) -> None:
    audio = _sound(reel, folder)
    master = folder / "master.mov"
    rawvideo.encode(
        _frames(reel, lambda share: progress(0.1 + 0.75 * share)),
        master,
        size=HD,
        painted_fps=f"{FPS}/{reel.held}",
        fps=FPS,
        sound=[(_ISO_639_2[language], audio.pop(language)) for language in reel.spoken],
        filters=f"{reel.filters},fade=in:d=0.7,fade=out:st={reel.seconds - 1}:d=1",
        crf=reel.crf,
    )
    for language in reel.spoken:
        (folder / f"sound.{language}.wav").unlink()
    files = DemoFiles(
        slug=reel.slug,
        master=str(master),
        audio={language: str(path) for language, path in audio.items()},
        subtitles=_subtitles(reel, folder),
        artwork=artwork.title_artwork(reel, folder) if reel.episode in {None, 1} else [],
        stills=artwork.stills(reel, folder) if reel.episode else [],
    )
    (folder / _NOTE).write_bytes(msgspec.json.encode(_moved(files, Path())))
    progress(1)


def _frames(reel: Reel, progress: Callable[[float], None]) -> Iterator[bytes]:
    frame, count = reel.scene(HD), reel.seconds * FPS
    for index in range(0, count, reel.held):
        yield frame(index).planes()
        if index % FPS == 0:
            progress(index / count)


def _sound(reel: Reel, folder: Path) -> dict[str, Path]:
    """The sound in each language, spoken over one music."""
    music = compose(reel.score, reel.seconds)
    paths: dict[str, Path] = {}
    for language in (*reel.spoken, *reel.beside):
        lines = [(n.start_s, n.end_s, n.said.get(language, n.words.get(language, ""))) for n in reel.lines]
        paths[language] = folder / f"sound.{language}.wav"
        write(paths[language], mixed(music, voice.speak(lines, language, reel.seconds)))
    return paths


def _subtitles(reel: Reel, folder: Path) -> dict[str, str]:
    paths = {language: folder / f"subtitles.{language}.vtt" for language in reel.subtitled}
    for language, path in paths.items():
        path.write_text(webvtt(reel.lines, language), encoding="utf-8")
    return {language: str(path) for language, path in paths.items()}


def webvtt(lines: tuple[Line, ...], language: str) -> str:
    """Lines as a WebVTT file."""
    cues = [f"{_time(n.start_s)} --> {_time(n.end_s)}\n{n.words[language]}\n" for n in lines]
    return "\n".join(["WEBVTT\n", *cues])


def _time(seconds: float) -> str:
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    return f"00:{minutes:02}:{ms // 1000:02}.{ms % 1000:03}"


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process makes the same film."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _swept(folder: Path) -> Path:
    """An empty folder, whatever a maker that was killed has left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _moved(files: DemoFiles, folder: Path) -> DemoFiles:
    """The same files in another folder."""

    def at(path: str) -> str:
        return str(folder / Path(path).name)

    def here(pictures: list[Picture]) -> list[Picture]:
        return [msgspec.structs.replace(p, path=at(p.path)) for p in pictures]

    return DemoFiles(
        slug=files.slug,
        master=at(files.master),
        audio={language: at(path) for language, path in files.audio.items()},
        subtitles={language: at(path) for language, path in files.subtitles.items()},
        artwork=here(files.artwork),
        stills=here(files.stills),
    )


def main(arguments: list[str]) -> None:
    """Make some films, or all."""
    directory, slugs = Path(arguments[0]), arguments[1:] or list(REELS)
    for slug in slugs:
        sys.stdout.buffer.write(msgspec.json.encode(make(REELS[slug], directory)) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
