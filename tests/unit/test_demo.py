"""The demo catalogue: its data is complete, its pictures are the same on every run, its files are made."""

import io
import wave
from collections.abc import Iterator
from itertools import pairwise
from math import pi
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from matinee.catalogue.api import Localised, TitleDraft
from matinee.catalogue.model.validation import check_draft
from matinee.drivers.ffmpeg import Ffmpeg
from matinee.drivers.process import ToolFailed
from matinee.drivers.rawvideo import encode
from matinee.lab.demo import artwork, make
from matinee.lab.demo.canvas import Size, to_picture
from matinee.lab.demo.films import SCENES
from matinee.lab.demo.load import to_sprite
from matinee.lab.demo.motion import Axis, Move, Sway, Trajectory
from matinee.lab.demo.reels import ENTRIES, REELS, Reel
from matinee.lab.demo.scene import FPS, Sprite
from matinee.lab.demo.sound import RATE, Score, compose
from matinee.lab.demo.textures import gradient
from matinee.lab.demo.voice import SPEAKERS, speak

SMALL = Size(320, 180)
reels = pytest.mark.parametrize("reel", REELS.values(), ids=REELS.keys())


DRAFTS = list({entry.draft.title_id: entry.draft for entry in ENTRIES.values()}.values())


def test_catalogue_has_enough_titles_of_each_kind() -> None:
    films, series = [d for d in DRAFTS if d.kind == "film"], [d for d in DRAFTS if d.kind == "series"]
    assert len(films) >= 8
    assert [len(s.episodes) for s in series] == [3]
    genres = [g.genre_id for draft in DRAFTS for g in draft.genres]
    assert all(genres.count(genre_id) >= 2 for genre_id in genres)
    assert len({d.maturity for d in DRAFTS}) >= 3


def _list_facts(draft: TitleDraft) -> list[Localised]:
    franchise = [draft.franchise] if draft.franchise else []
    return [*(mood.names for mood in draft.moods), *draft.keywords, *franchise]


def test_every_title_has_facts_that_are_valid() -> None:
    for draft in DRAFTS:
        check_draft(draft)
        assert all((draft.countries, draft.studios, draft.moods, draft.keywords))
    assert sum(bool(draft.franchise) for draft in DRAFTS) >= 2


def test_every_title_has_texts_in_two_languages_and_people() -> None:
    for draft in DRAFTS:
        for texts in (
            draft.names,
            draft.synopses,
            draft.taglines,
            *(g.names for g in draft.genres),
            *_list_facts(draft),
        ):
            assert {"en", "de"} <= texts.keys()
            assert all(texts.values())
        assert {"director", "cast"} <= {credit.role for credit in draft.credits}
        assert len({(c.person.person_id, c.role) for c in draft.credits}) == len(draft.credits)
        for episode in draft.episodes:
            assert {"en", "de"} <= episode.names.keys() & episode.synopses.keys()


def test_ids_are_those_of_earlier_versions() -> None:
    assert ENTRIES["slow-boat-north"].draft.title_id == "tit_6d94kve0twhqvaxapfgsczrdf5"
    assert ENTRIES["weather-fog"].episode_id == "epi_10q5w6bq32he7abvz1hqbd17wz"


def test_every_reel_has_a_scene_and_an_entry_and_the_first_is_a_film() -> None:
    assert list(ENTRIES) == list(REELS)
    assert SCENES.keys() == REELS.keys()
    assert next(iter(ENTRIES.values())).episode_id is None
    assert len({entry.episode_id for entry in ENTRIES.values() if entry.episode_id}) == 3


@reels
def test_lines_are_short_enough_to_be_read_in_every_language(reel: Reel) -> None:
    assert {"en", "de"} <= reel.lines[0].text.keys()
    assert 20 <= reel.seconds <= 40
    languages = {*reel.audio, *reel.extra_audio}
    assert languages <= SPEAKERS.keys()
    for line in reel.lines:
        assert line.text.keys() == reel.lines[0].text.keys()
        assert languages <= line.text.keys() | line.spoken.keys()
        assert 0 <= line.start_s < line.end_s <= reel.seconds
        for text in line.text.values():
            assert len(text) / (line.end_s - line.start_s) <= 21, text
            assert all(len(row) <= 42 for row in text.split("\n")), text
    assert all(one.end_s <= two.start_s for one, two in pairwise(reel.lines))


@reels
def test_frame_depends_only_on_its_number(reel: Reel) -> None:
    frame = SCENES[reel.slug].render(SMALL)
    middle = round(reel.seconds * FPS / 2)
    planes = frame(middle).planes()
    assert len(planes) == SMALL.width * SMALL.height * 3 // 2
    frame(0)
    assert frame(middle).planes() == planes
    assert SCENES[reel.slug].render(SMALL)(middle).planes() == planes
    assert frame(middle + 3 * FPS).planes() != planes
    assert np.asarray(to_picture(planes, SMALL)).std() > 4


def test_sprites_move_sway_and_wrap_as_described() -> None:
    bounded = Axis(at=8, each=1, speed=2, wrap=(0, 10))
    assert [bounded.value(t, 1, 0, 1) for t in (0, 1)] == [9, 1]
    assert Axis(moves=(Move(100, 1, 2),)).value(2, 0, 5, 1) == 55
    assert Axis(sways=(Sway(3, 0, phase=pi / 2),)).value(9, 0, 0, 1) == 3
    path = Trajectory(x=Axis(speed=10), y=Axis(at=1))
    assert path(2, 0, 5, 0, 0.5) == (15, 1)
    late = Sprite(gradient([(0, "#000000"), (1, "#ffffff")]), path, count=3, start_s=1, each_s=2, end_s=4)
    assert [len(late.place(t)) for t in (0, 1, 3, 4)] == [0, 1, 2, 0]
    assert late.place(3) == [(0, (20, 1)), (0, (0, 1))]


def test_mistake_in_a_scene_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="sped"):
        to_sprite({"art": "none", "x": {"sped": 1}}, {"none": None})
    with pytest.raises(TypeError, match="tail"):
        to_sprite({"art": "none", "tail": 1}, {"none": None})


def test_subtitles_are_webvtt() -> None:
    text = make.to_webvtt(REELS["letters"].lines, "de")
    blocks = text.strip().split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert blocks[1].split("\n") == ["00:00:00.800 --> 00:00:05.600", "Liebe Ines, heute hat es wieder geregnet."]
    assert len(blocks) == 1 + len(REELS["letters"].lines)


def test_music_has_the_given_length_and_never_clips() -> None:
    score = Score(root=57, tempo_bpm=90, chords=((0, 4, 7),), weather="rain", pulse=0.3)
    stereo = compose(score, 3)
    assert stereo.shape == (2, 3 * RATE)
    assert 0.05 < np.abs(stereo).max() < 1
    assert np.abs(stereo[:, -20:]).max() < 0.01
    assert np.array_equal(stereo, compose(score, 3))


def test_languages_sound_different_and_pauses_are_silent() -> None:
    lines = [(0.5, 2.5, "Wer ein Dach hat, wird gebeten, ihm zuzuhören.")]
    english, german = speak(lines, "en", 3), speak(lines, "de", 3)
    assert len(english) == len(german) == 3 * RATE
    assert not np.array_equal(english, german)
    assert np.abs(german[: RATE // 3]).max() == 0 < np.abs(german).max() <= 1
    assert np.abs(speak([], "ja", 1)).max() == 0


@reels
def test_title_fits_its_picture(reel: Reel) -> None:
    for language in artwork.LANGUAGES:
        name = ENTRIES[reel.slug].draft.names[language]
        for width in (800 * 0.83, 960 * 0.5):
            lines, size = artwork.fit_title(name, reel.artwork, (width, 400.0), max_size=160)
            assert " ".join(lines) == (name.upper() if reel.artwork.capitals else name)
            assert size >= 40, (name, size)
            assert all(artwork.line_width(line, reel.artwork) * size <= width + 1 for line in lines)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film and an episode, shortened to be quick."""
    folder = tmp_path_factory.mktemp("demo")
    for slug in ("last-tram", "weather-snow"):
        make.make(short(slug), folder)
    return folder


def short(slug: str) -> Reel:
    reel = REELS[slug]
    return replace(
        reel, seconds=3, frames_per_painting=6, artwork=replace(reel.artwork, poster_s=1, card_s=1, backdrop_s=2)
    )


async def test_master_has_the_promised_streams(made: Path) -> None:
    files = make.make(short("last-tram"), made)
    probe = await Ffmpeg().probe(Path(files.folder, files.master), ["-show_streams", "-count_packets"], deadline_s=60)
    video, *sound = probe["streams"]
    assert (video["width"], video["height"], video["r_frame_rate"]) == (1280, 720, "24/1")
    assert int(video["nb_read_packets"]) == 3 * FPS
    assert (video["pix_fmt"], video["color_space"], video["color_range"]) == ("yuv420p", "bt709", "tv")
    assert [s["tags"]["language"] for s in sound] == ["eng", "fra"]
    assert all(abs(float(s["duration"]) - 3) < 0.05 for s in sound)
    assert list(files.audio) == ["de"]
    with wave.open(str(Path(files.folder, files.audio["de"]))) as file:
        assert (file.getnchannels(), file.getnframes()) == (2, 3 * RATE)


async def test_german_sound_has_its_language(made: Path) -> None:
    files = make.make(short("weather-snow"), made)
    probe = await Ffmpeg().probe(Path(files.folder, files.master), ["-show_streams"], deadline_s=60)
    assert [s["tags"].get("language") for s in probe["streams"][1:]] == ["eng", "ger"]


def test_every_language_has_subtitles(made: Path) -> None:
    files = make.make(short("last-tram"), made)
    assert list(files.subtitles) == ["en", "de", "fr"]
    for name in files.subtitles.values():
        assert Path(files.folder, name).read_text(encoding="utf-8").startswith("WEBVTT\n\n00:")


def test_artwork_has_every_kind_in_its_aspect_ratio(made: Path) -> None:
    film, episode = (make.make(short(slug), made) for slug in ("last-tram", "weather-snow"))
    kinds = {(p.kind, p.language) for p in film.artwork}
    assert kinds == {(k, lang) for k in ("poster", "card") for lang in ("en", "de")} | {("backdrop", None)}
    assert (episode.artwork, [p.kind for p in episode.stills]) == ([], ["still"])
    for picture, path in [
        (p, Path(files.folder, p.path)) for files in (film, episode) for p in files.artwork + files.stills
    ]:
        image = Image.open(path)
        assert image.format == "WEBP"
        assert image.size == (picture.width_px, picture.height_px)
        assert path.stat().st_size < 400_000
        assert len(picture.colour) == 7
        across, down = (2, 3) if picture.kind == "poster" else (16, 9)
        assert image.width * down == image.height * across


def test_finished_reel_is_not_made_again_and_an_unfinished_one_is(made: Path, tmp_path: Path) -> None:
    before = (made / "last-tram" / "master.mov").stat().st_mtime_ns
    make.make(short("last-tram"), made)
    assert (made / "last-tram" / "master.mov").stat().st_mtime_ns == before
    unfinished = tmp_path / ".weather-snow.making"
    unfinished.mkdir()
    (unfinished / "master.mov").write_bytes(b"partial")
    files = make.make(short("weather-snow"), tmp_path)
    assert Path(files.folder, files.master).stat().st_size > 10_000
    assert not unfinished.exists()


async def test_another_process_makes_the_same_files(made: Path) -> None:
    assert await make.make_in_process("last-tram", made) == make.make(short("last-tram"), made)
    with pytest.raises(ToolFailed):
        await make.make_in_process("no-such-film", made, deadline_s=60)


def test_failed_encode_has_a_reason(tmp_path: Path) -> None:
    nowhere = tmp_path / "nothing" / "film.mov"
    with pytest.raises(ToolFailed, match="No such file"):
        encode(iter([bytes(96)] * 50), nowhere, size=(8, 8), painted_fps="24", fps=24, sound=[])
    with pytest.raises(io.UnsupportedOperation):
        encode(fail_after_a_frame(), tmp_path / "film.mov", size=(8, 8), painted_fps="24", fps=24, sound=[])


def fail_after_a_frame() -> Iterator[bytes]:
    yield bytes(96)
    raise io.UnsupportedOperation("the painter failed")
