"""The gateway's rules, by example and by property."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.catalogue.api import Artwork, Episode, RightsWindow, Title
from matinee.gateway.model import files, presentation
from matinee.identity.api import Profile
from matinee.kit.ids import AccountId, AssetId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.viewing.api import Position

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TEXTS = {"pt": "porto", "de": "hafen", "en": "harbour"}


@pytest.mark.parametrize(
    ("language", "original", "text"),
    [
        ("de", "en", "hafen"),
        ("de-AT", "en", "hafen"),
        ("pt-BR", "en", "porto"),
        ("fr", "en", "harbour"),
        ("fr", "pt-PT", "porto"),
        ("fr", "it", "porto"),
    ],
)
def test_words_in_the_readers_language(language: str, original: str, text: str) -> None:
    assert presentation.localised(TEXTS, language, original) == text


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5)), st.text(max_size=5), st.text(max_size=5))
def test_some_word_is_found_where_there_is_one(texts: dict[str, str], language: str, original: str) -> None:
    found = presentation.localised(texts, language, original)
    assert found in texts.values() or (not texts and found == "")


def art(kind: str, language: str | None = None, path: str = "public/art/a b.jpg") -> Artwork:
    return Artwork(kind=kind, path=path, width_px=1, height_px=1, language=language)  # type: ignore[arg-type]


def test_pictures() -> None:
    made = presentation.pictures([art("still", path="public/art/s.jpg"), art("poster", "de"), art("poster")], "de")
    assert made.card
    assert made.card == made.backdrop
    assert made.poster
    assert made.poster.url == "/art/a%20b.jpg"
    for language, path in (("de", "/art/de"), ("fr", "/art/none"), ("en", "/art/none")):
        found = presentation.picture([art("card", "de", "art/de"), art("card", None, "art/none")], ("card",), language)
        assert found
        assert found.url == path
    assert presentation.picture([], ("card",), "en") is None


def title(**said: object) -> Title:
    fields = {"title_id": TitleId("t"), "kind": "film", "names": {"en": "N"}, "original_language": "en"}
    return Title(**{**fields, "state": "published", "rights": [RightsWindow()], **said})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("windows", "seen"),
    [
        ([RightsWindow()], True),
        ([], False),
        ([RightsWindow(territory="DE")], True),
        ([RightsWindow(territory="JP")], False),
        ([RightsWindow(opens_at=NOW)], True),
        ([RightsWindow(opens_at=NOW + timedelta(seconds=1))], False),
        ([RightsWindow(closes_at=NOW)], False),
        ([RightsWindow(closes_at=NOW), RightsWindow(territory="DE", opens_at=NOW)], True),
    ],
)
def test_rights(windows: list[RightsWindow], seen: bool) -> None:
    assert presentation.open_in(title(rights=windows), "DE", NOW) == seen


@given(st.integers(0, 21), st.integers(0, 21), st.sampled_from(["draft", "published", "withdrawn"]))
def test_nobody_sees_what_is_not_for_them(maturity: int, age: int, state: str) -> None:
    profile = Profile(
        profile_id=ProfileId("p"), account_id=AccountId("a"), name="", avatar="", language="en", maturity=age
    )
    seen = presentation.visible(title(maturity=maturity, state=state), profile, "DE", NOW)
    assert seen == (maturity <= age and state == "published")


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
    kind="series", episodes=[episode(2, 1), episode(1, 2), episode(1, 1), episode(2, 2, playable=False), episode(3, 1)]
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
def test_the_next_episode(last: Position | None, plays: str) -> None:
    assert presentation.play_episode(SERIES, last) == plays


def test_all_seen_is_no_more_to_go_on_with() -> None:
    assert presentation.going_on(SERIES, at("3x1", 99_000)) is None
    assert presentation.play_episode(title(kind="series"), None) is None


def test_another_billboard_every_day() -> None:
    titles = [title(title_id=TitleId(str(number)), artwork=[art("backdrop")]) for number in range(9)]
    seen = [presentation.billboard(titles, date(2026, 1, day)) for day in range(1, 11)]
    assert len({one.title_id for one in seen if one}) == presentation.BILLBOARDS
    assert presentation.billboard([title()], date(2026, 1, 1)) is None


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=30), max_size=4))
def test_tus_metadata_comes_through(said: dict[str, str]) -> None:
    header = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())
    assert files.metadata(header) == said


@given(st.text(max_size=60))
def test_tus_metadata_of_any_kind_breaks_nothing(header: str) -> None:
    files.metadata(header)


@given(st.text(max_size=400))
def test_any_name_is_made_a_file_name(said: str) -> None:
    name = files.file_name(said)
    assert name
    assert "/" not in name
    assert not name.startswith(".")
    assert "\x00" not in name
    assert len(name.encode()) <= 250
    assert files.file_name(name) == name
