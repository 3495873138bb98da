"""The rules of the gateway, by examples and properties."""

from __future__ import annotations

import base64
import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from matinee.catalogue.api import Artwork, Episode, RemovedEpisode, RightsWindow, Title
from matinee.gateway.model import files, presentation
from matinee.identity.api import Profile
from matinee.kit import ids
from matinee.kit.ids import AccountId, AssetId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.structs import build_from
from matinee.viewing.api import Position

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def art(kind: str, language: str | None = None, path: str = "public/art/a b.jpg") -> Artwork:
    return Artwork(kind=kind, path=path, width_px=1, height_px=1, language=language)  # type: ignore[arg-type]


def test_pictures_are_chosen_by_kind_and_language() -> None:
    pictures = presentation.to_pictures(
        [art("still", path="public/art/s.jpg"), art("poster", "de"), art("poster")], "de"
    )
    assert pictures.card
    assert pictures.card == pictures.backdrop
    assert pictures.poster
    assert pictures.poster.url == "/art/a%20b.jpg"
    for language, path in (("de", "/art/de"), ("fr", "/art/none"), ("en", "/art/none")):
        found = presentation.select_picture(
            [art("card", "de", "art/de"), art("card", None, "art/none")], ("card",), language
        )
        assert found
        assert found.url == path
    assert presentation.select_picture([], ("card",), "en") is None


def title(**changes: object) -> Title:
    fields = {"title_id": TitleId("t"), "kind": "film", "names": {"en": "N"}, "original_language": "en"}
    return Title(**{**fields, "state": "published", "rights": [RightsWindow()], **changes})  # type: ignore[arg-type]


VIEWER = Profile(profile_id=ProfileId("p"), account_id=AccountId("a"), name="", avatar="", language="en", maturity=18)


@pytest.mark.parametrize(
    ("windows", "visible"),
    [
        ([RightsWindow()], True),
        ([], False),
        ([RightsWindow(territory="DE")], True),
        ([RightsWindow(territory="JP")], False),
        ([RightsWindow(opens_at=NOW)], True),
        ([RightsWindow(opens_at=NOW + timedelta(seconds=1))], False),
        ([RightsWindow(closes_at=NOW)], False),
        ([RightsWindow(closes_at=NOW), RightsWindow(territory="DE", opens_at=NOW)], True),
        ([RightsWindow(), RightsWindow(territory="DE", closes_at=NOW)], False),
    ],
)
def test_rights_windows(windows: list[RightsWindow], visible: bool) -> None:
    assert presentation.is_visible(title(rights=windows), VIEWER, "DE", NOW) == visible


@given(st.integers(0, 21), st.integers(0, 21), st.sampled_from(["draft", "published", "withdrawn"]))
def test_visibility_depends_on_maturity_and_state(maturity: int, age: int, state: str) -> None:
    profile = replace(VIEWER, maturity=age)
    visible = presentation.is_visible(title(maturity=maturity, state=state), profile, "DE", NOW)
    assert visible == (maturity <= age and state == "published")


def episode(season: int, number: int, *, playable: bool = True) -> Episode:
    return Episode(
        episode_id=EpisodeId(f"{season}x{number}"),
        season_number=season,
        number=number,
        names={},
        asset_id=AssetId("a") if playable else None,
        duration_ms=100_000,
    )


SERIES = title(
    kind="series", episodes=[episode(1, 1), episode(1, 2), episode(2, 1), episode(2, 2, playable=False), episode(3, 1)]
)


def at(episode_id: str, position_ms: int) -> Position:
    return Position(
        account_id=AccountId("a"),
        profile_id=ProfileId("p"),
        title_id=TitleId("t"),
        episode_id=EpisodeId(episode_id),
        position_ms=position_ms,
        duration_ms=100_000,
        updated_at=NOW,
        device_id=DeviceId("d"),
    )


@pytest.mark.parametrize(
    ("last", "plays"),
    [
        (None, "1x1"),
        (at("1x1", 50_000), "1x1"),
        (at("1x1", 99_000), "1x2"),
        (at("1x2", 99_000), "2x1"),
        (at("2x1", 99_000), "3x1"),
        (at("3x1", 99_000), "1x1"),
        (at("gone", 99_000), "1x1"),
    ],
)
def test_episode_to_play(last: Position | None, plays: str) -> None:
    assert presentation.select_episode(SERIES, last) == plays


@pytest.mark.parametrize("position_ms", [50_000, 99_000])
@pytest.mark.parametrize(("removed", "plays"), [("1x2", "2x1"), ("2x1", "3x1"), ("3x1", None)])
def test_series_goes_on_after_a_removed_episode(removed: str, plays: str | None, position_ms: int) -> None:
    kept = [each for each in SERIES.episodes if each.episode_id != removed]
    series = replace(SERIES, episodes=kept, removed_episodes=[to_removed(SERIES, removed)])
    resumed = presentation.resume_progress(series, at(removed, position_ms))
    assert (resumed and (resumed.episode_id, resumed.position_ms)) == (plays and (plays, 0))
    assert presentation.select_episode(series, at(removed, position_ms)) == (plays or "1x1")


def to_removed(series: Title, episode_id: str) -> RemovedEpisode:
    found = next(each for each in series.episodes if each.episode_id == episode_id)
    return build_from(found, RemovedEpisode)


def test_specials_come_last() -> None:
    series = title(kind="series", episodes=[episode(0, 1), episode(1, 1), episode(2, 1)])
    assert [presentation.select_episode(series, last) for last in (None, at("2x1", 99_000))] == ["1x1", "0x1"]
    assert [season.number for season in presentation.to_seasons(series, {}, "en")] == [1, 2, 0]
    assert presentation.to_card(series, "en").season_count == 2


def test_finished_series_has_nothing_to_resume() -> None:
    assert presentation.resume_progress(SERIES, at("3x1", 99_000)) is None
    assert presentation.select_episode(title(kind="series"), None) is None


def test_billboard_changes_every_day() -> None:
    titles = [title(title_id=TitleId(str(number)), artwork=[art("backdrop")]) for number in range(9)]
    chosen = [presentation.select_billboard(titles, date(2026, 1, day), {}) for day in range(1, 11)]
    assert len({one.title_id for one in chosen if one}) == presentation.BILLBOARDS
    assert presentation.select_billboard([title()], date(2026, 1, 1), {}) is None


def test_billboard_is_never_a_title_watched_to_the_end() -> None:
    film, other = (title(title_id=TitleId(name), artwork=[art("backdrop")]) for name in ("film", "other"))
    series = replace(SERIES, title_id=TitleId("series"), artwork=[art("backdrop")])
    finished = replace(at("x", 99_000), episode_id=None)

    def choose(titles: list[Title], last: dict[str, Position]) -> set[str | None]:
        positions = {TitleId(name): position for name, position in last.items()}
        days = (date(2026, 1, day) for day in range(1, 11))
        chosen = [presentation.select_billboard(titles, day, positions) for day in days]
        return {one.title_id if one else None for one in chosen}

    assert choose([film, other], {"film": finished}) == {"other"}
    assert choose([film, other], {"film": replace(finished, position_ms=50_000)}) == {"film", "other"}
    assert choose([film], {"film": finished}) == {None}
    assert choose([series], {"series": at("1x2", 99_000)}) == {"series"}
    assert choose([series], {"series": at("3x1", 99_000)}) == {None}


@pytest.mark.parametrize(
    ("published", "is_new"),
    [
        (timedelta(days=-1), False),
        (timedelta(minutes=20), False),
        (timedelta(days=2), True),
        (timedelta(days=39), True),
    ],
)
def test_new_is_what_was_published_after_the_profile_first_saw_the_catalogue(
    published: timedelta, is_new: bool
) -> None:
    profile = replace(VIEWER, profile_id=ids.generate(ProfileId, NOW))
    added = title(published_at=NOW + published)
    assert presentation.is_new(added, profile, NOW + timedelta(days=40)) is (is_new and published.days > 10)
    assert presentation.is_new(added, profile, NOW + max(published, timedelta(0))) is is_new
    assert not presentation.is_new(title(), profile, NOW)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=30), max_size=4))
def test_tus_metadata_is_parsed(text: dict[str, str]) -> None:
    header = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in text.items())
    assert files.parse_metadata(header) == text


@given(st.text(max_size=60))
def test_invalid_tus_metadata_is_ignored(header: str) -> None:
    files.parse_metadata(header)


@given(st.text(max_size=400))
def test_any_name_becomes_a_valid_file_name(text: str) -> None:
    name = files.sanitize_file_name(text)
    assert name
    assert "/" not in name
    assert not name.startswith(".")
    assert "\x00" not in name
    assert len(name.encode()) <= 250
    assert files.sanitize_file_name(name) == name


def test_long_file_name_is_cut_in_little_time() -> None:
    started_s = time.process_time()
    names = [files.sanitize_file_name(letter * 200_000 + ".mp4") for letter in ("a", "🎬", "é")]
    assert time.process_time() - started_s < 1
    assert [len(name.encode()) for name in names] == [200, 200, 200]
    assert all(name.endswith(".mp4") for name in names)
