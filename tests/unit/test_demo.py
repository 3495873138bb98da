"""The demo catalogue: complete in what it says, drawn the same on every run, and really made."""

import io
import wave
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from matinee.drivers.ffmpeg import Ffmpeg
from matinee.drivers.process import ToolFailed
from matinee.drivers.rawvideo import encode
from matinee.lab.demo import artwork, catalogue, make
from matinee.lab.demo.canvas import Size, picture_of
from matinee.lab.demo.reel import FPS, Reel
from matinee.lab.demo.reels import REELS
from matinee.lab.demo.sound import RATE, Score, compose
from matinee.lab.demo.titles import GENRES, TITLES
from matinee.lab.demo.voice import SPEAKERS, speak

SMALL = Size(320, 180)
reels = pytest.mark.parametrize("reel", REELS.values(), ids=REELS.keys())


def test_the_catalogue_has_enough_of_everything() -> None:
    drafts = catalogue.drafts()
    films, series = [d for d in drafts if d.kind == "film"], [d for d in drafts if d.kind == "series"]
    assert len(films) >= 8
    assert [len(s.episodes) for s in series] == [3]
    for genre_id in GENRES:
        assert sum(genre_id in [g.genre_id for g in d.genres] for d in drafts) >= 2, genre_id
    assert len({d.maturity for d in drafts}) >= 3
    assert len({d.title_id for d in drafts}) == len(drafts)


def test_every_title_is_told_in_two_languages_and_has_people() -> None:
    for draft in catalogue.drafts():
        for texts in (draft.names, draft.synopses, draft.taglines, *(g.names for g in draft.genres)):
            assert {"en", "de"} <= texts.keys()
            assert all(texts.values())
        assert {"director", "cast"} <= {credit.role for credit in draft.credits}
        assert len({(c.person.person_id, c.role) for c in draft.credits}) == len(draft.credits)
        for episode in draft.episodes:
            assert {"en", "de"} <= episode.names.keys() & episode.synopses.keys()
    assert drafts_bytes() == drafts_bytes()


def drafts_bytes() -> bytes:
    return msgspec.json.encode(catalogue.drafts())


def test_every_reel_belongs_to_one_title_and_the_first_is_a_film() -> None:
    slugs = [slug for title in TITLES for slug in title.reels]
    assert sorted(slugs) == sorted(REELS)
    places = catalogue.places()
    assert list(places) == list(REELS)
    assert next(iter(places.values())).episode_id is None
    assert len({p.episode_id for p in places.values() if p.episode_id}) == 3
    for title in TITLES:
        assert dict(title.names).items() >= dict(REELS[title.reels[0]].heading or REELS[title.reels[0]].names).items()


@reels
def test_lines_can_be_read_in_their_time_and_in_every_language(reel: Reel) -> None:
    assert {"en", "de"} <= set(reel.subtitled)
    assert 20 <= reel.seconds <= 40
    assert set(reel.spoken) | set(reel.beside) <= SPEAKERS.keys()
    for line in reel.lines:
        assert set(line.words) == set(reel.subtitled)
        assert set(reel.spoken) | set(reel.beside) <= {*line.words, *line.said}
        assert 0 <= line.start_s < line.end_s <= reel.seconds
        for words in line.words.values():
            assert len(words) / (line.end_s - line.start_s) <= 21, words
            assert all(len(row) <= 42 for row in words.split("\n")), words
    assert all(one.end_s <= two.start_s for one, two in pairwise(reel.lines))


@reels
def test_a_painting_depends_on_the_number_of_its_frame_alone(reel: Reel) -> None:
    frame = reel.scene(SMALL)
    middle = round(reel.seconds * FPS / 2)
    planes = frame(middle).planes()
    assert len(planes) == SMALL.width * SMALL.height * 3 // 2
    frame(0)
    assert frame(middle).planes() == planes
    assert reel.scene(SMALL)(middle).planes() == planes
    assert frame(middle + 3 * FPS).planes() != planes
    assert np.asarray(picture_of(planes, SMALL)).std() > 4


def test_subtitles_are_webvtt() -> None:
    text = make.webvtt(REELS["letters"].lines, "de")
    blocks = text.strip().split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert blocks[1].split("\n") == ["00:00:00.800 --> 00:00:05.600", "Liebe Ines, heute hat es wieder geregnet."]
    assert len(blocks) == 1 + len(REELS["letters"].lines)


def test_music_is_as_long_as_asked_and_never_clips() -> None:
    score = Score(root=57, tempo_bpm=90, chords=[(0, 4, 7)], weather="rain", pulse=0.3)
    stereo = compose(score, 3)
    assert stereo.shape == (2, 3 * RATE)
    assert 0.05 < np.abs(stereo).max() < 1
    assert np.abs(stereo[:, -20:]).max() < 0.01
    assert np.array_equal(stereo, compose(score, 3))


def test_two_languages_sound_different_and_silence_stays_silent() -> None:
    lines = [(0.5, 2.5, "Wer ein Dach hat, wird gebeten, ihm zuzuhören.")]
    english, german = speak(lines, "en", 3), speak(lines, "de", 3)
    assert len(english) == len(german) == 3 * RATE
    assert not np.array_equal(english, german)
    assert np.abs(german[: RATE // 3]).max() == 0 < np.abs(german).max() <= 1
    assert np.abs(speak([], "ja", 1)).max() == 0


def test_a_title_is_set_within_its_picture() -> None:
    for reel in REELS.values():
        for name in (reel.heading or reel.names).values():
            for tall, width in ((True, 800), (False, 960)):
                room = (width * (0.83 if tall else 0.5), 400.0)
                lines, size = artwork._fitted(name, reel.look, room, biggest=160)
                assert " ".join(lines) == name
                assert size >= 40, (name, size)
                assert all(artwork._width(line, reel.look) * size <= room[0] + 1 for line in lines)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film and an episode, shortened to be quick."""
    folder = tmp_path_factory.mktemp("demo")
    for slug in ("last-tram", "weather-snow"):
        make.make(short(slug), folder)
    return folder


def short(slug: str) -> Reel:
    reel = REELS[slug]
    return replace(reel, seconds=3, held=6, look=replace(reel.look, poster_s=1, card_s=1, backdrop_s=2))


async def test_a_film_is_made_and_is_what_it_says(made: Path) -> None:
    files = make.make(short("last-tram"), made)
    shown = await Ffmpeg().probe(Path(files.master), ["-show_streams", "-count_packets"], deadline_s=60)
    video, *sound = shown["streams"]
    assert (video["width"], video["height"], video["r_frame_rate"]) == (1280, 720, "24/1")
    assert int(video["nb_read_packets"]) == 3 * FPS
    assert (video["pix_fmt"], video["color_space"], video["color_range"]) == ("yuv420p", "bt709", "tv")
    assert [s["tags"]["language"] for s in sound] == ["eng", "fra"]
    assert all(abs(float(s["duration"]) - 3) < 0.05 for s in sound)
    assert list(files.audio) == ["de"]
    with wave.open(files.audio["de"]) as file:
        assert (file.getnchannels(), file.getnframes()) == (2, 3 * RATE)


def test_subtitles_are_there_in_every_language(made: Path) -> None:
    files = make.make(short("last-tram"), made)
    assert list(files.subtitles) == ["en", "de", "fr"]
    assert all(Path(path).read_text(encoding="utf-8").startswith("WEBVTT\n\n00:") for path in files.subtitles.values())


def test_artwork_has_every_kind_in_its_shape(made: Path) -> None:
    film, episode = (make.make(short(slug), made) for slug in ("last-tram", "weather-snow"))
    kinds = {(p.kind, p.language) for p in film.artwork}
    assert kinds == {(k, lang) for k in ("poster", "card") for lang in ("en", "de")} | {("backdrop", None)}
    assert (episode.artwork, [p.kind for p in episode.stills]) == ([], ["still"])
    for picture in [*film.artwork, *episode.stills]:
        image = Image.open(picture.path)
        assert image.format == "WEBP"
        assert image.size == (picture.width_px, picture.height_px)
        assert Path(picture.path).stat().st_size < 400_000
        assert len(picture.colour) == 7
        across, down = (2, 3) if picture.kind == "poster" else (16, 9)
        assert image.width * down == image.height * across


def test_a_finished_film_is_not_made_again_and_an_unfinished_one_is(made: Path, tmp_path: Path) -> None:
    before = (made / "last-tram" / "master.mov").stat().st_mtime_ns
    make.make(short("last-tram"), made)
    assert (made / "last-tram" / "master.mov").stat().st_mtime_ns == before
    left_by_a_kill = tmp_path / ".weather-snow.making"
    left_by_a_kill.mkdir()
    (left_by_a_kill / "master.mov").write_bytes(b"half of it")
    heard: list[float] = []
    files = make.make(short("weather-snow"), tmp_path, heard.append)
    assert Path(files.master).stat().st_size > 10_000
    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert not left_by_a_kill.exists()


async def test_a_process_of_its_own_makes_the_same(made: Path) -> None:
    assert await make.make_apart("last-tram", made) == make.make(short("last-tram"), made)
    with pytest.raises(ToolFailed):
        await make.make_apart("no-such-film", made, deadline_s=60)


def test_a_failed_encode_says_why(tmp_path: Path) -> None:
    nowhere = tmp_path / "nothing" / "film.mov"
    with pytest.raises(ToolFailed, match="No such file"):
        encode(iter([bytes(96)] * 50), nowhere, size=(8, 8), painted_fps="24", fps=24, sound=[])
    with pytest.raises(io.UnsupportedOperation):
        encode(broken(), tmp_path / "film.mov", size=(8, 8), painted_fps="24", fps=24, sound=[])


def broken() -> Iterator[bytes]:
    yield bytes(96)
    raise io.UnsupportedOperation("the painter failed")
