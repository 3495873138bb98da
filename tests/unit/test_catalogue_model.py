"""The catalogue's rules by themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
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
    choose_text,
    find_next_episode,
    is_open,
)
from matinee.catalogue.model import rules
from matinee.catalogue.model.playing import check_available, choose_episode
from matinee.catalogue.model.validation import EPISODES_LIMIT, check_asset, check_draft
from matinee.kit import ids
from matinee.kit.ids import AssetId, EpisodeId, PersonId, TitleId
from matinee.kit.problem import Invalid

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILM = ids.derive(TitleId, "film")
RUN = [SegmentRun(0, 48_000, 9), SegmentRun(432_000, 12_000)]


def draft(**fields: Any) -> TitleDraft:
    known: dict[str, Any] = {"title_id": FILM, "kind": "film", "names": {"en": "A film"}, "original_language": "en"}
    return TitleDraft(**{**known, **fields})


def episode(number: int, season: int = 1, **fields: Any) -> Episode:
    known: dict[str, Any] = {
        "episode_id": ids.derive(EpisodeId, str(season), str(number)),
        "season_number": season,
        "number": number,
        "names": {"en": f"Episode {number}"},
    }
    return Episode(**{**known, **fields})


def asset(name: str = "asset", **fields: Any) -> Asset:
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
    return Asset(**{"asset_id": asset_id, **known, **fields})


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
def test_text_is_chosen_by_reader_languages_then_original_language(languages: list[str], found: str) -> None:
    texts = {"pt-BR": "Oi", "de": "Hallo", "en": "Hello", "zh-Hant": "繁"}
    assert choose_text(texts, languages, "en") == found


def test_any_text_is_chosen_when_no_language_matches() -> None:
    assert choose_text({"ja": "やあ"}, ["fr"], "en") == "やあ"
    assert choose_text({}, ["fr"], "en") == ""


def test_draft_replaces_editable_fields_and_keeps_the_others() -> None:
    fresh = rules.apply_draft(draft(), None)
    assert (fresh.state, fresh.asset_id, fresh.rights) == ("draft", None, [RightsWindow()])
    current = rules.publish(rules.attach_asset(fresh, asset(), []), NOW)
    changed = rules.apply_draft(draft(names={"en": "Another name"}, maturity=12), current)
    assert changed == replace(current, names={"en": "Another name"}, maturity=12)
    assert rules.apply_draft(draft(), current) == current


def test_episodes_keep_their_assets_and_are_sorted() -> None:
    episodes = [episode(2), episode(1), episode(1, season=2), episode(1, season=0)]
    series = rules.apply_draft(draft(kind="series", episodes=episodes), None)
    assert [(e.season_number, e.number) for e in series.episodes] == [(1, 1), (1, 2), (2, 1), (0, 1)]
    played = rules.attach_asset(series, asset(episode_id=episode(2).episode_id), [])
    forged = episode(1, asset_id=ids.derive(AssetId, "forged"), duration_ms=5)
    again = rules.apply_draft(draft(kind="series", episodes=[forged, episode(2, names={"en": "Two"})]), played)
    assert [(e.asset_id, e.duration_ms) for e in again.episodes] == [(None, 0), (asset().asset_id, 37_000)]


def test_episode_that_is_removed_and_added_again_keeps_its_asset() -> None:
    one, two = episode(1), episode(2)
    series = rules.apply_draft(draft(kind="series", episodes=[one, two]), None)
    series = rules.attach_asset(series, asset(episode_id=two.episode_id), [])
    removed = rules.apply_draft(draft(kind="series", episodes=[one]), series)
    assert (removed.episodes, rules.get_asset_ids(removed)) == ([one], set())
    moved = episode(7, episode_id=two.episode_id)
    again = rules.apply_draft(draft(kind="series", episodes=[one, moved]), removed)
    assert again.episodes[1] == replace(moved, asset_id=asset().asset_id, duration_ms=37_000)
    assert again.removed_episodes == []


def test_removed_episodes_are_bounded() -> None:
    episodes = [episode(number) for number in range(EPISODES_LIMIT)]
    series = rules.apply_draft(draft(kind="series", episodes=episodes), None)
    series = rules.apply_draft(draft(kind="series", episodes=[episode(1, season=2)]), series)
    series = rules.apply_draft(draft(kind="series"), series)
    assert len(series.removed_episodes) == EPISODES_LIMIT
    assert series.removed_episodes[-1].season_number == 2


def test_kind_cannot_change_once_there_is_an_asset() -> None:
    current = rules.attach_asset(rules.apply_draft(draft(), None), asset(), [])
    with pytest.raises(Invalid) as caught:
        rules.apply_draft(draft(kind="series"), current)
    assert faults(caught.value) == ["kind"]


def test_asset_sets_duration_and_languages() -> None:
    title = rules.attach_asset(rules.apply_draft(draft(original_language="de"), None), asset(), [])
    assert (title.duration_ms, title.audio_languages, title.subtitle_languages) == (37_000, ["de", "en"], ["fr"])
    replaced = rules.attach_asset(title, asset("new", audio=[], text=[]), [asset()])
    assert (replaced.audio_languages, replaced.subtitle_languages) == ([], [])


def test_series_has_languages_of_all_episodes() -> None:
    series = rules.apply_draft(draft(kind="series", episodes=[episode(1), episode(2)]), None)
    first = asset("one", episode_id=episode(1).episode_id, audio=asset().audio[:1], text=[])
    second = asset("two", episode_id=episode(2).episode_id, audio=asset().audio[1:])
    both = rules.attach_asset(rules.attach_asset(series, first, []), second, [first])
    assert (both.audio_languages, both.subtitle_languages) == (["en", "de"], ["fr"])
    with pytest.raises(EpisodeNotFound):
        rules.attach_asset(series, asset(episode_id=episode(9).episode_id), [])
    with pytest.raises(Invalid):
        rules.attach_asset(series, asset(), [])


def test_title_without_asset_cannot_be_published() -> None:
    title = rules.apply_draft(draft(), None)
    with pytest.raises(NotPlayable):
        rules.publish(title, NOW)
    published = rules.publish(rules.attach_asset(title, asset(), []), NOW)
    back = rules.publish(rules.withdraw(published), NOW + timedelta(days=9))
    assert (published.state, back.published_at) == ("published", NOW)


def test_picture_replaces_one_of_same_kind_and_language() -> None:
    def picture(path: str, **fields: Any) -> Artwork:
        return Artwork(kind="poster", path=path, width_px=2, height_px=3, **fields)

    title = rules.add_artwork(rules.apply_draft(draft(), None), [picture("a"), picture("b", language="de")], None)
    title = rules.add_artwork(title, [picture("c")], None)
    assert [p.path for p in title.artwork] == ["b", "c"]
    series = rules.apply_draft(draft(kind="series", episodes=[episode(1)]), None)
    series = rules.add_artwork(series, [picture("d")], episode(1).episode_id)
    assert [p.path for p in series.episodes[0].artwork] == ["d"]
    with pytest.raises(EpisodeNotFound):
        rules.add_artwork(series, [], episode(2).episode_id)


def test_territory_rights_take_precedence_over_global_rights() -> None:
    later, before = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
    assert is_open([RightsWindow()], "DE", NOW)
    assert not is_open([], "DE", NOW)
    assert not is_open([RightsWindow(), RightsWindow(territory="DE", opens_at=later)], "DE", NOW)
    assert is_open([RightsWindow(), RightsWindow(territory="DE", opens_at=later)], "FR", NOW)
    assert is_open([RightsWindow(opens_at=NOW, closes_at=later)], "DE", NOW)
    assert not is_open([RightsWindow(opens_at=before, closes_at=NOW)], "DE", NOW)


def test_unpublished_title_is_reported_as_missing() -> None:
    title = rules.apply_draft(draft(rights=[RightsWindow(territory="DE")]), None)
    with pytest.raises(TitleNotFound):
        check_available(title, "DE", NOW)
    published = replace(title, state="published")
    check_available(published, "DE", NOW)
    with pytest.raises(NotAvailable):
        check_available(published, "FR", NOW)
    with pytest.raises(TitleNotFound):
        check_available(rules.withdraw(published), "DE", NOW)


def test_first_playable_episode_is_chosen_and_next_playable_one_found() -> None:
    one = ids.derive(AssetId, "one")
    episodes = [episode(1), episode(2, asset_id=one), episode(3), episode(1, season=2, asset_id=one)]
    series = Title(title_id=FILM, kind="series", names={"en": "S"}, original_language="en", episodes=episodes)
    assert choose_episode(series, None) == episodes[1]
    assert choose_episode(series, episodes[3].episode_id) == episodes[3]
    assert find_next_episode(series, episodes[1].episode_id) == episodes[3]
    assert find_next_episode(series, episodes[3].episode_id) is None
    with pytest.raises(NotPlayable):
        choose_episode(series, episodes[0].episode_id)
    with pytest.raises(EpisodeNotFound):
        choose_episode(series, ids.derive(EpisodeId, "none"))
    with pytest.raises(NotPlayable):
        choose_episode(replace(series, episodes=[episode(1)]), None)
    special = episode(1, season=0, asset_id=one)
    series = replace(series, episodes=[special, *episodes])  # as stored before specials came last
    assert choose_episode(series, None) == episodes[1]
    assert find_next_episode(series, episodes[3].episode_id) == special
    assert find_next_episode(series, special.episode_id) is None
    film = Title(title_id=FILM, kind="film", names={"en": "F"}, original_language="en", asset_id=one)
    assert choose_episode(film, None) is None
    with pytest.raises(EpisodeNotFound):
        choose_episode(film, episodes[0].episode_id)


def test_series_continues_after_an_episode_that_was_removed() -> None:
    one = ids.derive(AssetId, "one")
    episodes = [episode(number, season, asset_id=one) for season, number in ((0, 1), (1, 1), (1, 2), (1, 3), (2, 1))]
    special, first, second, third, last = episodes
    series = rules.apply_draft(draft(kind="series", episodes=episodes), None)
    series = replace(series, episodes=[first, second, third, last, special])

    def play(without: list[Episode], watched: Episode, *, finished: bool) -> Episode | None:
        left = [each for each in series.episodes if each not in without]
        changed = rules.apply_draft(draft(kind="series", episodes=left), series)
        return choose_episode(changed, None, watched.episode_id, last_finished=finished)

    assert play([], second, finished=False) == second
    assert play([], second, finished=True) == third
    for finished in (False, True):
        assert play([second], second, finished=finished) == third
        assert play([third, second], second, finished=finished) == last
        assert play([last], last, finished=finished) == special
        assert play([last, special], last, finished=finished) == first
        assert play([], episode(9, season=9), finished=finished) == first
    anew = episode(2, episode_id=ids.derive(EpisodeId, "anew"), asset_id=one)
    replaced = rules.apply_draft(draft(kind="series", episodes=[first, anew, third]), series)
    replaced = replace(replaced, episodes=[first, anew, third])
    assert choose_episode(replaced, None, second.episode_id) == anew
    assert choose_episode(replaced, None, second.episode_id, last_finished=True) == third


def test_valid_draft_and_asset_pass() -> None:
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


def sheets(**fields: Any) -> Thumbnails:
    known = {"columns": 5, "rows": 5, "width_px": 160, "height_px": 90, "interval_ms": 5000, "sheets": 1}
    return Thumbnails(**{"media": "thumbs/$Number$.jpg", **known, **fields})


@pytest.mark.parametrize(
    ("fields", "field"),
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
def test_invalid_draft_names_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_draft(draft(**fields))
    assert field in faults(caught.value)


VIDEO = asset().video[0]


@pytest.mark.parametrize(
    ("fields", "field"),
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
def test_invalid_asset_names_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_asset(asset(**fields))
    assert field in faults(caught.value)
