"""Screens: composed in one call, in the viewer's words, within what they may see, whatever part fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway_rig import CLOCK, DRAMA, NOISE, Deployment, Viewer, deployment, poster

from matinee.catalogue.api import RightsWindow
from matinee.kit import ids
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.problem import Unreachable
from matinee.viewing.api import Position


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(tmp_path) as running:
        yield running


async def watched(viewer: Viewer, title_id: TitleId, position_ms: int, episode_id: EpisodeId | None = None) -> None:
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


def row(screen: dict[str, Any], kind: str) -> list[str]:
    found = next((row for row in screen["rows"] if row["kind"] == kind), {"cards": []})
    return [card["name"] for card in found["cards"]]


async def test_home(home: Deployment) -> None:
    viewer = await home.viewer()
    empty = (await viewer.call("GET", "/home")).json
    assert empty == {"rows": [], "billboard": None, "missing": []}

    first = await home.film("First", names={"en": "First", "de": "Erster"}, artwork=[poster()], genres=[DRAMA, NOISE])
    await home.film("Second", taglines={"en": "A tagline"})
    await watched(viewer, first, 40_000)
    screen = (await viewer.call("GET", "/home")).json
    assert [row["row_id"] for row in screen["rows"]] == ["continue-watching", "new", "genre-drama", "genre-noise"]
    assert row(screen, "continue-watching") == ["First"]
    assert row(screen, "new") == ["Second", "First"]
    assert screen["billboard"]["card"]["name"] == "First"
    card = screen["rows"][1]["cards"][1]
    assert card["pictures"]["backdrop"]["url"] == "/art/backdrop.jpg"
    assert card["progress"]["position_ms"] == 40_000
    assert card["is_new"]
    assert (screen["rows"][1]["cards"][0]["progress"], screen["missing"]) == (None, [])

    german = (await viewer.call("POST", "/profiles", {"name": "Ute", "language": "de-AT"})).json["profile_id"]
    await viewer.choose(german)
    screen = (await viewer.call("GET", "/home")).json
    assert row(screen, "continue-watching") == []
    assert row(screen, "new") == ["Second", "Erster"]
    assert screen["rows"][1]["genre"]["name"] == "Drama auf Deutsch"

    await viewer.call("PATCH", f"/profiles/{german}", {"language": "en"})
    assert row((await viewer.call("GET", "/home")).json, "new") == ["Second", "First"]


async def test_a_profile_sees_what_it_may(home: Deployment) -> None:
    viewer = await home.viewer()
    grown = await home.film("Grown", maturity=16)
    await home.film("Mild", maturity=6)
    abroad = await home.film("Abroad", rights=[RightsWindow(territory="JP")])
    past = await home.film("Past", rights=[RightsWindow(closes_at=CLOCK.now() - timedelta(days=1))])
    withdrawn = await home.film("Withdrawn")
    await home.domains["catalogue"].withdraw(title_id=withdrawn)
    kid = (await viewer.call("POST", "/profiles", {"name": "Kid", "maturity": 7})).json["profile_id"]
    await viewer.choose(kid)
    await watched(viewer, grown, 10_000)

    screen = (await viewer.call("GET", "/home")).json
    assert row(screen, "new") == row(screen, "genre") == ["Mild"]
    assert row(screen, "continue-watching") == []
    assert (await viewer.call("GET", "/history")).json["entries"] == []
    drama = (await viewer.call("GET", "/genres/drama")).json
    assert [card["name"] for card in drama["cards"]] == ["Mild"]
    unborn = ids.generate(TitleId, CLOCK.now())
    for title_id, status, kind in (
        (grown, 403, "too-mature"),
        (abroad, 403, "not-available"),
        (past, 403, "not-available"),
        (withdrawn, 404, "title-not-found"),
        (unborn, 404, "title-not-found"),
        ("nonsense", 404, "title-not-found"),
    ):
        answer = await viewer.call("GET", f"/titles/{title_id}")
        assert (answer.status, answer.problem) == (status, kind)
    assert (await viewer.call("GET", "/genres/unheard-of")).problem == "no-such-page"


async def test_a_series_goes_on_where_it_was(home: Deployment) -> None:
    viewer = await home.viewer()
    title_id, (one, two, three) = await home.series("Nights")

    async def play() -> str | None:
        return (await viewer.call("GET", f"/titles/{title_id}")).json["play_episode_id"]

    async def offered() -> list[tuple[Any, ...]]:
        cards = [
            card
            for row in (await viewer.call("GET", "/home")).json["rows"]
            for card in row["cards"]
            if row["kind"] == "continue-watching"
        ]
        seen = [card["progress"] for card in cards]
        return [(p["season_number"], p["episode_number"], p["position_ms"]) for p in seen]

    assert (await play(), await offered()) == (one, [])
    await watched(viewer, title_id, 30_000, one)
    assert (await play(), await offered()) == (one, [(1, 1, 30_000)])
    await watched(viewer, title_id, 99_000, one)
    assert (await play(), await offered()) == (two, [(1, 2, 0)])
    await watched(viewer, title_id, 98_000, two)
    assert (await play(), await offered()) == (one, [])  # the last cannot be played yet: from the beginning

    page = (await viewer.call("GET", f"/titles/{title_id}")).json
    assert [season["number"] for season in page["seasons"]] == [1, 2]
    episodes = [episode for season in page["seasons"] for episode in season["episodes"]]
    assert [episode["playable"] for episode in episodes] == [True, True, False]
    assert [episode["progress"] and episode["progress"]["finished"] for episode in episodes] == [True, True, None]
    assert page["card"]["season_count"] == 2
    assert episodes[2]["episode_id"] == three


async def test_history_and_dismissing(home: Deployment) -> None:
    viewer, other = await home.viewer(), await home.viewer()
    film = await home.film("Film")
    await watched(viewer, film, 10_000)
    history = (await viewer.call("GET", "/history")).json
    assert [(entry["card"]["name"], entry["card"]["progress"]["position_ms"]) for entry in history["entries"]] == [
        ("Film", 10_000)
    ]
    assert (await other.call("GET", "/history")).json["entries"] == []
    assert (await other.call("DELETE", f"/continue-watching/{film}")).status == 204
    assert row((await viewer.call("GET", "/home")).json, "continue-watching") == ["Film"]
    assert (await viewer.call("DELETE", f"/continue-watching/{film}")).status == 204
    assert row((await viewer.call("GET", "/home")).json, "continue-watching") == []
    assert (await viewer.call("GET", "/history?cursor=garbage")).status in {200, 422}


async def test_more_like_this(home: Deployment) -> None:
    viewer = await home.viewer()
    film = await home.film("Film", genres=[DRAMA, NOISE])
    await home.film("Both", genres=[NOISE, DRAMA])
    await home.film("One", genres=[NOISE])
    await home.film("Other", genres=[])
    page = (await viewer.call("GET", f"/titles/{film}")).json
    assert [card["name"] for card in page["more_like_this"]] == ["Both", "One"]


class Failing:
    """A domain some of whose methods fail, or never answer."""

    def __init__(self, real: Any, *methods: str, hang: bool = False) -> None:
        self._real = real
        self._methods = methods
        self._hang = hang

    def __getattr__(self, name: str) -> Any:
        return self._fail if name in self._methods else getattr(self._real, name)

    async def _fail(self, **_: Any) -> Any:
        if self._hang:
            await asyncio.Event().wait()
        raise Unreachable(service="away")


@pytest.mark.parametrize("hang", [False, True])
async def test_a_failing_part_leaves_the_rest(tmp_path: Path, hang: bool) -> None:
    async with deployment(tmp_path) as plain:
        viewer = await plain.viewer()
        film = await plain.film("Film")
        await watched(viewer, film, 5000)
    real = plain.domains
    gone = Failing(None, "continue_watching", "progress", "history", hang=hang)
    async with deployment(tmp_path, parts={"viewing": gone}) as lame:
        viewer.deployment = lame
        screen = (await viewer.call("GET", "/home")).json
        assert set(screen["missing"]) == {"continue-watching", "progress"}
        assert row(screen, "new") == ["Film"]
        page = (await viewer.call("GET", f"/titles/{film}")).json
        assert (page["missing"], page["card"]["name"]) == (["progress"], "Film")
        history = await viewer.call("GET", "/history")
        assert history.status in {503, 504}
    assert real
