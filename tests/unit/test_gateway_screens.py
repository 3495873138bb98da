"""Screens: composition, languages, maturity, rights, failing parts."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway_rig import CLOCK, DRAMA, NOISE, Deployment, Viewer, artwork, run_gateway

from matinee.catalogue.api import Genre, Mood, RightsWindow
from matinee.kit import ids
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.problem import Overloaded, Unreachable
from matinee.viewing.api import Position


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path) as running:
        yield running


async def record_position(
    viewer: Viewer, title_id: TitleId, position_ms: int, episode_id: EpisodeId | None = None
) -> None:
    await viewer.deployment.domains["viewing"].record(
        position=Position(
            account_id=AccountId(viewer.session["account_id"]),
            profile_id=ProfileId(viewer.profile_id),
            title_id=title_id,
            episode_id=episode_id,
            position_ms=position_ms,
            duration_ms=100_000,
            updated_at=CLOCK.now(),
            device_id=DeviceId("dev_1"),
        )
    )


def card_names(screen: dict[str, Any], kind: str) -> list[str]:
    found = next((row for row in screen["rows"] if row["kind"] == kind), {"cards": []})
    return [card["name"] for card in found["cards"]]


async def test_home_page(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    empty = (await viewer.call("GET", "/home")).json
    assert empty == {"rows": [], "billboard": None, "missing": [], "earlier": False}

    first = await gateway.add_film(
        "First", names={"en": "First", "de": "Erster"}, artwork=[artwork()], genres=[DRAMA, NOISE]
    )
    await gateway.add_film("Second", taglines={"en": "A tagline"})
    await record_position(viewer, first, 40_000)
    screen = (await viewer.call("GET", "/home")).json
    assert [row["row_id"] for row in screen["rows"]] == ["continue-watching", "new", "genre-drama", "genre-noise"]
    assert card_names(screen, "continue-watching") == ["First"]
    assert card_names(screen, "new") == ["Second", "First"]
    assert screen["billboard"]["card"]["name"] == "First"
    card = screen["rows"][1]["cards"][1]
    assert card["pictures"]["backdrop"]["url"] == "/art/backdrop.jpg"
    assert card["progress"]["position_ms"] == 40_000
    assert not card["is_new"]  # not to a profile that finds it there
    assert (screen["rows"][1]["cards"][0]["progress"], screen["missing"]) == (None, [])

    german = (await viewer.call("POST", "/profiles", {"name": "Ute", "language": "de-AT"})).json["profile_id"]
    await viewer.choose(german)
    screen = (await viewer.call("GET", "/home")).json
    assert card_names(screen, "continue-watching") == []
    assert card_names(screen, "new") == ["Second", "Erster"]
    assert screen["rows"][1]["genre"]["name"] == "Drama auf Deutsch"

    await viewer.call("PATCH", f"/profiles/{german}", {"language": "en"})
    assert card_names((await viewer.call("GET", "/home")).json, "new") == ["Second", "First"]


async def test_profile_sees_only_permitted_titles(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    mature = await gateway.add_film("Mature", maturity=16)
    await gateway.add_film("Mild", maturity=6)
    abroad = await gateway.add_film("Abroad", rights=[RightsWindow(territory="JP")])
    past = await gateway.add_film("Past", rights=[RightsWindow(closes_at=CLOCK.now() - timedelta(days=1))])
    withdrawn = await gateway.add_film("Withdrawn")
    await gateway.domains["catalogue"].withdraw(title_id=withdrawn)
    kid = (await viewer.call("POST", "/profiles", {"name": "Kid", "maturity": 7})).json["profile_id"]
    await viewer.choose(kid)
    await record_position(viewer, mature, 10_000)

    screen = (await viewer.call("GET", "/home")).json
    assert card_names(screen, "new") == card_names(screen, "genre") == ["Mild"]
    assert card_names(screen, "continue-watching") == []
    assert (await viewer.call("GET", "/history")).json["entries"] == []
    drama = (await viewer.call("GET", "/genres/drama")).json
    assert [card["name"] for card in drama["cards"]] == ["Mild"]
    unknown = ids.generate(TitleId, CLOCK.now())
    for title_id, status, kind in (
        (mature, 403, "too-mature"),
        (abroad, 403, "not-available"),
        (past, 403, "not-available"),
        (withdrawn, 404, "title-not-found"),
        (unknown, 404, "title-not-found"),
        ("nonsense", 404, "title-not-found"),
    ):
        answer = await viewer.call("GET", f"/titles/{title_id}")
        assert (answer.status, answer.problem) == (status, kind)
    assert (await viewer.call("GET", "/genres/unheard-of")).problem == "no-such-page"


async def test_series_resumes(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    title_id, (one, two, three) = await gateway.add_series("Nights")

    async def episode_to_play() -> str | None:
        return (await viewer.call("GET", f"/titles/{title_id}")).json["play_episode_id"]

    async def continue_watching() -> list[tuple[Any, ...]]:
        cards = [
            card
            for row in (await viewer.call("GET", "/home")).json["rows"]
            for card in row["cards"]
            if row["kind"] == "continue-watching"
        ]
        progress = [card["progress"] for card in cards]
        return [(p["season_number"], p["episode_number"], p["position_ms"]) for p in progress]

    assert (await episode_to_play(), await continue_watching()) == (one, [])
    await record_position(viewer, title_id, 30_000, one)
    assert (await episode_to_play(), await continue_watching()) == (one, [(1, 1, 30_000)])
    await record_position(viewer, title_id, 99_000, one)
    assert (await episode_to_play(), await continue_watching()) == (two, [(1, 2, 0)])
    await record_position(viewer, title_id, 98_000, two)
    assert (await episode_to_play(), await continue_watching()) == (
        one,
        [],
    )  # the last episode is not playable: from the beginning

    page = (await viewer.call("GET", f"/titles/{title_id}")).json
    assert [season["number"] for season in page["seasons"]] == [1, 2]
    episodes = [episode for season in page["seasons"] for episode in season["episodes"]]
    assert [episode["playable"] for episode in episodes] == [True, True, False]
    assert [episode["progress"] and episode["progress"]["finished"] for episode in episodes] == [True, True, None]
    assert page["card"]["season_count"] == 2
    assert episodes[2]["episode_id"] == three


async def test_series_resumes_after_an_episode_that_was_removed(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    title_id, (one, two, three, _) = await gateway.add_series("Nights", (4,))
    await record_position(viewer, title_id, 30_000, two)
    await gateway.remove_episode(title_id, two)
    home = (await viewer.call("GET", "/home")).json
    cards = [card for row in home["rows"] for card in row["cards"] if card["title_id"] == title_id]
    assert len(cards) > 1
    assert {(card["progress"]["episode_id"], card["progress"]["position_ms"]) for card in cards} == {(three, 0)}
    page = (await viewer.call("GET", f"/titles/{title_id}")).json
    assert page["play_episode_id"] == three
    assert one in str(page["seasons"])


async def test_history_and_dismissed_titles(gateway: Deployment) -> None:
    viewer, other = await gateway.viewer(), await gateway.viewer()
    film = await gateway.add_film("Film")
    await record_position(viewer, film, 10_000)
    history = (await viewer.call("GET", "/history")).json
    assert [(entry["card"]["name"], entry["card"]["progress"]["position_ms"]) for entry in history["entries"]] == [
        ("Film", 10_000)
    ]
    assert (await other.call("GET", "/history")).json["entries"] == []
    assert (await other.call("DELETE", f"/continue-watching/{film}")).status == 204
    assert card_names((await viewer.call("GET", "/home")).json, "continue-watching") == ["Film"]
    assert (await viewer.call("DELETE", f"/continue-watching/{film}")).status == 204
    assert card_names((await viewer.call("GET", "/home")).json, "continue-watching") == []
    assert (await viewer.call("GET", "/history")).json["entries"] == []
    await record_position(viewer, film, 20_000)
    assert len((await viewer.call("GET", "/history")).json["entries"]) == 1
    assert (await viewer.call("GET", "/history?cursor=garbage")).status in {200, 422}


async def test_what_was_watched_to_the_end_can_be_removed_and_is_no_billboard(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    film = await gateway.add_film("Film", artwork=[artwork()])
    assert (await viewer.call("GET", "/home")).json["billboard"]["card"]["name"] == "Film"
    await record_position(viewer, film, 99_000)
    assert (await viewer.call("GET", "/home")).json["billboard"] is None
    assert len((await viewer.call("GET", "/history")).json["entries"]) == 1
    assert (await viewer.call("DELETE", f"/continue-watching/{film}")).status == 204
    assert (await viewer.call("GET", "/history")).json["entries"] == []


async def test_a_childs_home_has_fewer_rows(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    genres = [Genre(genre_id=f"genre-{number}", names={"en": f"Genre {number}"}) for number in range(9)]
    await gateway.add_film("Film", genres=genres)

    async def count_genres() -> int:
        rows = (await viewer.call("GET", "/home")).json["rows"]
        return [row["kind"] for row in rows].count("genre")

    assert await count_genres() == 8
    child = (await viewer.call("POST", "/profiles", {"name": "Kim", "maturity": 6, "kids": True})).json
    await viewer.choose(child["profile_id"])
    assert await count_genres() == 3


@pytest.mark.parametrize("accept", ["gzip", "br, gzip;q=0.8", "gzip;q=0, br", "identity", ""])
async def test_home_is_compressed_where_the_client_accepts_it(gateway: Deployment, accept: str) -> None:
    viewer = await gateway.viewer()
    for number in range(5):
        await gateway.add_film(f"Film {number}")
    plain = await viewer.call("GET", "/home")
    answer = await viewer.call("GET", "/home", Accept_Encoding=accept)
    is_accepted = accept in {"gzip", "br, gzip;q=0.8"}
    assert answer.headers.get("Content-Encoding") == ("gzip" if is_accepted else None)
    assert (gzip.decompress(answer.body) if is_accepted else answer.body) == plain.body
    if is_accepted:
        assert len(answer.body) < len(plain.body) / 3
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert (await viewer.call("GET", "/ping", Accept_Encoding=accept)).status in {200, 204}


async def test_similar_titles_share_genres(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    film = await gateway.add_film("Film", genres=[DRAMA, NOISE])
    await gateway.add_film("Both", genres=[NOISE, DRAMA])
    await gateway.add_film("One", genres=[NOISE])
    await gateway.add_film("Other", genres=[])
    page = (await viewer.call("GET", f"/titles/{film}")).json
    assert [card["name"] for card in page["more_like_this"]] == ["Both", "One"]


async def test_a_title_page_has_facts_in_the_language_of_the_profile(gateway: Deployment) -> None:
    viewer = await gateway.viewer()
    german = (await viewer.call("POST", "/profiles", {"name": "Otto", "language": "de"})).json["profile_id"]
    await viewer.choose(german)
    film = await gateway.add_film(
        "Film",
        countries=["KR"],
        studios=["Studio A"],
        franchise={"en": "City Nights", "de": "Stadtnächte"},
        moods=[Mood(mood_id="calm", names={"en": "Calm", "de": "Ruhig"})],
    )
    page = (await viewer.call("GET", f"/titles/{film}")).json
    facts = [page[name] for name in ("countries", "studios", "franchise", "moods")]
    assert facts == [["KR"], ["Studio A"], "Stadtnächte", ["Ruhig"]]
    page = (await viewer.call("GET", f"/titles/{await gateway.add_film('Bare')}")).json
    assert [page[name] for name in ("countries", "studios", "franchise", "moods")] == [[], [], "", []]


class FailingDomain:
    """A domain with methods that fail or hang."""

    def __init__(self, real: Any, *methods: str, hang: bool = False) -> None:
        self.real = real
        self.methods = methods
        self._hang = hang

    def __getattr__(self, name: str) -> Any:
        return self._fail if name in self.methods else getattr(self.real, name)

    async def _fail(self, **_: Any) -> Any:
        if self._hang:
            await asyncio.Event().wait()
        raise Unreachable(service="unavailable")


@pytest.mark.parametrize("hang", [False, True])
async def test_failing_parts_are_left_out(tmp_path: Path, hang: bool) -> None:
    async with run_gateway(tmp_path) as complete:
        viewer = await complete.viewer()
        film = await complete.add_film("Film")
        await record_position(viewer, film, 5000)
    failing = FailingDomain(None, "continue_watching", "list_positions", "list_history", hang=hang)
    async with run_gateway(tmp_path, replaced={"viewing": failing}, screen_deadline_ms=4_000) as incomplete:
        viewer.deployment = incomplete
        screen = (await viewer.call("GET", "/home")).json
        assert set(screen["missing"]) == {"continue-watching", "progress"}
        assert card_names(screen, "new") == ["Film"]
        page = (await viewer.call("GET", f"/titles/{film}")).json
        assert (page["missing"], page["card"]["name"]) == (["progress"], "Film")
        history = await viewer.call("GET", "/history")
        assert history.status in {503, 504}


async def test_home_that_cannot_be_whole_is_the_last_whole_one(tmp_path: Path) -> None:
    viewing = FailingDomain(None)
    async with run_gateway(tmp_path, replaced={"viewing": viewing}) as gateway:
        viewing.real = gateway.domains["viewing"]
        viewer = await gateway.viewer()
        await record_position(viewer, await gateway.add_film("Film"), 50_000)
        whole = (await viewer.call("GET", "/home")).json
        viewing.methods = ("continue_watching",)
        earlier = (await viewer.call("GET", "/home")).json
        assert (whole["earlier"], earlier) == (False, {**whole, "earlier": True})
        await viewer.call("PATCH", f"/profiles/{viewer.profile_id}", {"maturity": 12})
        strict = (await viewer.call("GET", "/home")).json
        assert (strict["earlier"], strict["missing"]) == (False, ["continue-watching"])
        viewing.methods = ()
        assert (await viewer.call("GET", "/home")).json["missing"] == []


async def test_last_whole_home_has_nothing_that_the_profile_may_not_see_now(tmp_path: Path) -> None:
    viewing = FailingDomain(None)
    async with run_gateway(tmp_path, replaced={"viewing": viewing}) as gateway:
        viewing.real = gateway.domains["viewing"]
        viewer = await gateway.viewer()
        gone = await gateway.add_film("Gone")
        await gateway.add_film("Film")
        assert sorted(card_names((await viewer.call("GET", "/home")).json, "new")) == ["Film", "Gone"]
        viewing.methods = ("continue_watching",)
        await gateway.domains["catalogue"].withdraw(title_id=gone)
        earlier = (await viewer.call("GET", "/home")).json
        assert (earlier["earlier"], card_names(earlier, "new")) == (True, ["Film"])


async def test_part_that_an_overloaded_service_refuses_is_requested_again(tmp_path: Path) -> None:
    viewing = OverloadedDomain(times=3)
    async with run_gateway(tmp_path, replaced={"viewing": viewing}) as gateway:
        viewing.real = gateway.domains["viewing"]
        viewer = await gateway.viewer()
        await record_position(viewer, await gateway.add_film("Film"), 50_000)
        screen = (await viewer.call("GET", "/home")).json
        assert (screen["missing"], screen["earlier"], viewing.times) == ([], False, 0)


class OverloadedDomain:
    """Refuses the next calls of `continue_watching`."""

    def __init__(self, times: int) -> None:
        self.real: Any = None
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def continue_watching(self, **arguments: Any) -> Any:
        if self.times:
            self.times -= 1
            raise Overloaded(retry_after_ms=1)
        return await self.real.continue_watching(**arguments)
