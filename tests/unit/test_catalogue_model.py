"""The catalogue's rules by themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from matinee.catalogue.api import (
    Artwork,
    Asset,
    AudioTrack,
    Credit,
    Episode,
    EpisodeNotFound,
    Genre,
    NotAvailable,
    NotPlayable,
    Person,
    RightsWindow,
    SegmentRun,
    TextTrack,
    Thumbnails,
    Title,
    TitleDraft,
    TitleNotFound,
    VideoTrack,
    localised,
)
from matinee.catalogue.model import rules
from matinee.catalogue.model.cursors import cursor_after, place_of
from matinee.catalogue.model.playing import check_offered, chosen_episode, episode_after, is_open
from matinee.catalogue.model.validation import check_asset, check_draft
from matinee.kit import ids
from matinee.kit.clock import from_ms
from matinee.kit.ids import AssetId, EpisodeId, PersonId, TitleId
from matinee.kit.problem import Invalid

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILM = ids.derive(TitleId, "film")
RUN = [SegmentRun(0, 48_000, 9), SegmentRun(432_000, 12_000)]


def draft(**said: Any) -> TitleDraft:
    known: dict[str, Any] = {"title_id": FILM, "kind": "film", "names": {"en": "A film"}, "original_language": "en"}
    return TitleDraft(**{**known, **said})


def episode(number: int, season: int = 1, **said: Any) -> Episode:
    known: dict[str, Any] = {
        "episode_id": ids.derive(EpisodeId, str(season), str(number)),
        "season_number": season,
        "number": number,
        "names": {"en": f"Episode {number}"},
    }
    return Episode(**{**known, **said})


def asset(name: str = "asset", **said: Any) -> Asset:
    asset_id = ids.derive(AssetId, name)
    common: dict[str, Any] = {"bandwidth_bps": 96_000, "timescale": 12_000, "segments": RUN}
    known: dict[str, Any] = {
        "title_id": FILM,
        "prefix": f"assets/{asset_id}/",
        "duration_ms": 37_000,
        "video": [
            VideoTrack(
                track_id="v720",
                codec="avc1.64001f",
                init="v720/init.mp4",
                media="v720/$Number$.m4s",
                width_px=1280,
                height_px=720,
                frame_rate="30000/1001",
                **common,
            )
        ],
        "audio": [sound("en", **common), sound("de", **common)],
        "text": [TextTrack(track_id="t-fr", language="fr", path="text/fr.vtt")],
    }
    return Asset(**{"asset_id": asset_id, **known, **said})


def sound(language: str, **common: Any) -> AudioTrack:
    return AudioTrack(
        track_id=f"a-{language}",
        codec="mp4a.40.2",
        init=f"a/{language}/init.mp4",
        media=f"a/{language}/$Number$.m4s",
        language=language,
        channels=2,
        sample_rate_hz=48_000,
        **common,
    )


def faults(problem: Invalid) -> list[str]:
    return [fault.field for fault in problem.faults]


@pytest.mark.parametrize(
    ("languages", "found"),
    [
        (["de"], "Hallo"),
        (["de-AT"], "Hallo"),
        (["DE-at"], "Hallo"),
        (["pt-BR"], "Oi"),
        (["pt-br"], "Oi"),
        (["pt"], "Oi"),
        (["pt-PT"], "Oi"),
        (["zh-Hant-TW", "de"], "繁"),
        (["fr", "de"], "Hallo"),
        (["fr"], "Hello"),
        ([], "Hello"),
    ],
)
def test_a_text_is_found_by_the_readers_languages_then_the_original(languages: list[str], found: str) -> None:
    texts = {"pt-BR": "Oi", "de": "Hallo", "en": "Hello", "zh-Hant": "繁"}
    assert localised(texts, languages, "en") == found


def test_any_text_is_better_than_none() -> None:
    assert localised({"ja": "やあ"}, ["fr"], "en") == "やあ"
    assert localised({}, ["fr"], "en") == ""


def test_a_draft_becomes_a_title_and_what_it_does_not_say_stays() -> None:
    fresh = rules.from_draft(draft(), None)
    assert (fresh.state, fresh.asset_id, fresh.rights) == ("draft", None, [RightsWindow()])
    standing = rules.published(rules.with_asset(fresh, asset(), []), NOW)
    changed = rules.from_draft(draft(names={"en": "Another name"}, maturity=12), standing)
    assert changed == replace(standing, names={"en": "Another name"}, maturity=12)
    assert rules.from_draft(draft(), standing) == standing


def test_episodes_keep_their_assets_and_stand_in_order() -> None:
    series = rules.from_draft(draft(kind="series", episodes=[episode(2), episode(1), episode(1, season=2)]), None)
    assert [(e.season_number, e.number) for e in series.episodes] == [(1, 1), (1, 2), (2, 1)]
    played = rules.with_asset(series, asset(episode_id=episode(2).episode_id), [])
    forged = episode(1, asset_id=ids.derive(AssetId, "forged"), duration_ms=5)
    again = rules.from_draft(draft(kind="series", episodes=[forged, episode(2, names={"en": "Two"})]), played)
    assert [(e.asset_id, e.duration_ms) for e in again.episodes] == [(None, 0), (asset().asset_id, 37_000)]


def test_a_film_with_an_asset_stays_a_film() -> None:
    standing = rules.with_asset(rules.from_draft(draft(), None), asset(), [])
    with pytest.raises(Invalid) as caught:
        rules.from_draft(draft(kind="series"), standing)
    assert faults(caught.value) == ["kind"]


def test_an_asset_brings_its_duration_and_languages() -> None:
    title = rules.with_asset(rules.from_draft(draft(original_language="de"), None), asset(), [])
    assert (title.duration_ms, title.audio_languages, title.subtitle_languages) == (37_000, ["de", "en"], ["fr"])
    replaced = rules.with_asset(title, asset("new", audio=[], text=[]), [asset()])
    assert (replaced.audio_languages, replaced.subtitle_languages) == ([], [])


def test_a_series_has_the_languages_of_all_its_episodes() -> None:
    series = rules.from_draft(draft(kind="series", episodes=[episode(1), episode(2)]), None)
    first = asset("one", episode_id=episode(1).episode_id, audio=asset().audio[:1], text=[])
    second = asset("two", episode_id=episode(2).episode_id, audio=asset().audio[1:])
    both = rules.with_asset(rules.with_asset(series, first, []), second, [first])
    assert (both.audio_languages, both.subtitle_languages) == (["en", "de"], ["fr"])
    with pytest.raises(EpisodeNotFound):
        rules.with_asset(series, asset(episode_id=episode(9).episode_id), [])
    with pytest.raises(Invalid):
        rules.with_asset(series, asset(), [])


def test_nothing_is_published_before_it_can_be_played() -> None:
    title = rules.from_draft(draft(), None)
    with pytest.raises(NotPlayable):
        rules.published(title, NOW)
    offered = rules.published(rules.with_asset(title, asset(), []), NOW)
    back = rules.published(rules.withdrawn(offered), NOW + timedelta(days=9))
    assert (offered.state, back.published_at) == ("published", NOW)


def test_pictures_of_one_kind_and_language_replace_one_another() -> None:
    def picture(path: str, **said: Any) -> Artwork:
        return Artwork(kind="poster", path=path, width_px=2, height_px=3, **said)

    title = rules.with_artwork(rules.from_draft(draft(), None), [picture("a"), picture("b", language="de")], None)
    title = rules.with_artwork(title, [picture("c")], None)
    assert [p.path for p in title.artwork] == ["b", "c"]
    series = rules.from_draft(draft(kind="series", episodes=[episode(1)]), None)
    series = rules.with_artwork(series, [picture("d")], episode(1).episode_id)
    assert [p.path for p in series.episodes[0].artwork] == ["d"]
    with pytest.raises(EpisodeNotFound):
        rules.with_artwork(series, [], episode(2).episode_id)


def test_rights_by_territory_come_before_those_for_everywhere() -> None:
    later, before = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
    assert is_open([RightsWindow()], "DE", NOW)
    assert not is_open([], "DE", NOW)
    assert not is_open([RightsWindow(), RightsWindow(territory="DE", opens_at=later)], "DE", NOW)
    assert is_open([RightsWindow(), RightsWindow(territory="DE", opens_at=later)], "FR", NOW)
    assert is_open([RightsWindow(opens_at=NOW, closes_at=later)], "DE", NOW)
    assert not is_open([RightsWindow(opens_at=before, closes_at=NOW)], "DE", NOW)


def test_who_may_not_see_a_title_is_not_told_that_it_is_there() -> None:
    title = rules.from_draft(draft(rights=[RightsWindow(territory="DE")]), None)
    with pytest.raises(TitleNotFound):
        check_offered(title, "DE", NOW)
    offered = replace(title, state="published")
    check_offered(offered, "DE", NOW)
    with pytest.raises(NotAvailable):
        check_offered(offered, "FR", NOW)
    with pytest.raises(TitleNotFound):
        check_offered(rules.withdrawn(offered), "DE", NOW)


def test_the_first_playable_episode_is_played_and_the_next_playable_one_follows() -> None:
    one = ids.derive(AssetId, "one")
    episodes = [episode(1), episode(2, asset_id=one), episode(3), episode(1, season=2, asset_id=one)]
    series = Title(title_id=FILM, kind="series", names={"en": "S"}, original_language="en", episodes=episodes)
    assert chosen_episode(series, None) == episodes[1]
    assert chosen_episode(series, episodes[3].episode_id) == episodes[3]
    assert episode_after(series, episodes[1]) == episodes[3]
    assert episode_after(series, episodes[3]) is None
    with pytest.raises(NotPlayable):
        chosen_episode(series, episodes[0].episode_id)
    with pytest.raises(EpisodeNotFound):
        chosen_episode(series, ids.derive(EpisodeId, "none"))
    with pytest.raises(NotPlayable):
        chosen_episode(replace(series, episodes=[episode(1)]), None)
    film = Title(title_id=FILM, kind="film", names={"en": "F"}, original_language="en", asset_id=one)
    assert chosen_episode(film, None) is None
    with pytest.raises(EpisodeNotFound):
        chosen_episode(film, episodes[0].episode_id)


def test_a_good_draft_and_a_good_asset_pass() -> None:
    person = Person(person_id=ids.derive(PersonId, "x"), names={"ja": "黒澤 明"})
    check_draft(
        draft(
            names={"en": "A", "zh-Hant-TW": "片", "es-419": "B", "sr-Latn": "C"},
            synopses={"en": "Two lines.\nSecond."},
            year=1902,
            maturity=18,
            genres=[Genre(genre_id="film-noir", names={"en": "Noir"})],
            credits=[Credit(person=person, role="cast", character="Kanbei")],
            artwork=[Artwork(kind="card", path="art/1a/card_1.jpg", width_px=16, height_px=9)],
        )
    )
    check_asset(asset(thumbnails=sheets()))


def sheets(**said: Any) -> Thumbnails:
    known = {"columns": 5, "rows": 5, "width_px": 160, "height_px": 90, "interval_ms": 5000, "sheets": 1}
    return Thumbnails(**{"media": "thumbs/$Number$.jpg", **known, **said})


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"title_id": TitleId("../../etc")}, "title_id"),
        ({"title_id": TitleId(ids.derive(AssetId, "x"))}, "title_id"),
        ({"names": {}}, "names"),
        ({"names": {"en": "  "}}, "names.en"),
        ({"names": {"en": "x" * 301}}, "names.en"),
        ({"names": {"en": "a\x00b"}}, "names.en"),
        ({"names": {"not a language": "x"}}, "names.not a language"),
        ({"original_language": "e"}, "original_language"),
        ({"original_language": ""}, "original_language"),
        ({"synopses": {"en": "x" * 5001}}, "synopses.en"),
        ({"year": 1200}, "year"),
        ({"maturity": -1}, "maturity"),
        ({"maturity": 99}, "maturity"),
        ({"genres": [Genre(genre_id="Film Noir", names={"en": "x"})]}, "genres.0.genre_id"),
        ({"genres": [Genre(genre_id="x", names={})]}, "genres.0.names"),
        ({"genres": [Genre(genre_id="x", names={"en": "x"})] * 2}, "genres"),
        ({"rights": [RightsWindow(territory="Germany")]}, "rights.0.territory"),
        ({"rights": [RightsWindow(territory="de")]}, "rights.0.territory"),
        ({"rights": [RightsWindow(opens_at=NOW, closes_at=NOW)]}, "rights.0.closes_at"),
        ({"rights": [RightsWindow(opens_at=NOW.replace(tzinfo=None))]}, "rights.0.opens_at"),
        ({"episodes": [episode(1)]}, "episodes"),
        ({"kind": "series", "episodes": [episode(1), episode(1)]}, "episodes"),
        ({"kind": "series", "episodes": [episode(1, names={})]}, "episodes.0.names"),
        ({"kind": "series", "episodes": [episode(-1)]}, "episodes.0.number"),
        ({"artwork": [Artwork(kind="card", path="../secret", width_px=1, height_px=1)]}, "artwork.0.path"),
        ({"artwork": [Artwork(kind="card", path="/abs", width_px=1, height_px=1)]}, "artwork.0.path"),
        ({"artwork": [Artwork(kind="card", path="a", width_px=0, height_px=1)]}, "artwork.0.width_px"),
        ({"artwork": [Artwork(kind="card", path="a", width_px=1, height_px=1, colour="red")]}, "artwork.0.colour"),
    ],
)
def test_a_bad_draft_names_what_is_wrong(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_draft(draft(**said))
    assert field in faults(caught.value)


VIDEO = asset().video[0]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"video": []}, "video"),
        ({"prefix": "assets/other/"}, "prefix"),
        ({"duration_ms": 0}, "duration_ms"),
        ({"video": [VIDEO, VIDEO]}, "track_id"),
        ({"video": [replace(VIDEO, track_id="master")]}, "video.0.track_id"),
        ({"video": [replace(VIDEO, track_id="a/b")]}, "video.0.track_id"),
        ({"video": [replace(VIDEO, media="v/1.m4s")]}, "video.0.media"),
        ({"video": [replace(VIDEO, init="/etc/passwd")]}, "video.0.init"),
        ({"video": [replace(VIDEO, media="../$Number$.m4s")]}, "video.0.media"),
        ({"video": [replace(VIDEO, segments=[])]}, "video.0.segments"),
        ({"video": [replace(VIDEO, segments=[SegmentRun(0, 0)])]}, "video.0.segments"),
        ({"video": [replace(VIDEO, segments=[SegmentRun(0, 1, 10**9)])]}, "video.0.segments"),
        ({"video": [replace(VIDEO, frame_rate="25fps")]}, "video.0.frame_rate"),
        ({"video": [replace(VIDEO, key_id="no hex")]}, "video.0.key_id"),
        ({"video": [replace(VIDEO, codec="h264 high\n#")]}, "video.0.codec"),
        ({"video": [replace(VIDEO, height_px=0)]}, "video.0.height_px"),
        (
            {"audio": [sound("en", bandwidth_bps=0, timescale=1, segments=RUN)]},
            "audio.0.bandwidth_bps",
        ),
        ({"text": [TextTrack(track_id="t", language="english!", path="t.vtt")]}, "text.0.language"),
        ({"thumbnails": sheets(media="one.jpg")}, "thumbnails"),
        ({"thumbnails": sheets(columns=0)}, "thumbnails"),
    ],
)
def test_a_half_made_asset_is_refused(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_asset(asset(**said))
    assert field in faults(caught.value)


@given(st.integers(min_value=0, max_value=7_000_000_000_000), st.text(max_size=40))
def test_a_cursor_names_its_place(at_ms: int, name: str) -> None:
    at = from_ms(at_ms)
    assert place_of(cursor_after(at, TitleId(name))) == (at, TitleId(name))


@pytest.mark.parametrize("cursor", ["", "!", "ü", "e30", "WzEsMl0", "Wy0xLCJ4Il0", "x" * 300])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        place_of(cursor)
    assert faults(caught.value) == ["cursor"]
