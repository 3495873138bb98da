"""Press play: what a player is told, what it may not watch, where a series goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.playback_rig import EDGE_IDS, NOW, TITLE, Deployment, asset, episode, housed, opens, principal

from matinee.catalogue.api import NotAvailable
from matinee.events.api import PlaybackStarted
from matinee.identity.api import ProfileNotFound
from matinee.kit import context, ids
from matinee.kit.ids import DeviceId, ProfileId
from matinee.kit.problem import DeadlineExceeded, Forbidden, Unreachable
from matinee.playback.api import Capabilities, NoRendition, NotEntitled, TooMature
from matinee.steering.api import NoEdge
from matinee.viewing.api import Position


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with housed(tmp_path) as deployment:
        yield deployment


def where(position_ms: int, number: int | None = None, duration_ms: int = 100_000) -> Position:
    return Position(
        account_id=principal().account_id,
        profile_id=ids.derive(ProfileId, "ada"),
        title_id=TITLE,
        episode_id=None if number is None else episode(number).episode_id,
        position_ms=position_ms,
        duration_ms=duration_ms,
        updated_at=NOW,
        device_id=ids.derive(DeviceId, "ada"),
    )


async def test_pressing_play_answers_with_all_a_player_needs(deployment: Deployment) -> None:
    deployment.around.where = where(40_000)
    play = await deployment.start()
    assert (play.names, play.resume_ms, play.duration_ms) == ({"en": "A film"}, 38_000, 100_000)
    assert [delivery.edge_id for delivery in play.deliveries] == EDGE_IDS
    assert all(opens(delivery.base_url, NOW) for delivery in play.deliveries)
    assert play.dash_path.startswith(f"/api/v1/playback/{play.session_id}/manifest/")
    assert [(text.language, text.label) for text in play.text] == [("de", "Deutsch")]
    terms = deployment.around.said("grant")[0]["terms"]
    assert (terms.session_id, terms.labels, terms.expires_at) == (
        play.session_id,
        ("AUDIO", "SD", "HD"),
        play.expires_at,
    )
    assert (terms.profile_id, terms.device_id) == (principal().profile_id, principal().device_id)
    assert await deployment.facts() == [
        PlaybackStarted(
            session_id=play.session_id,
            account_id=principal().account_id,
            profile_id=ids.derive(ProfileId, "ada"),
            device_id=principal().device_id,
            title_id=TITLE,
            asset_id=asset().asset_id,
            edge_ids=tuple(EDGE_IDS),
            resumed_at_ms=38_000,
        )
    ]


async def test_everything_is_looked_up_at_once(deployment: Deployment) -> None:
    await deployment.start()
    assert deployment.around.together == 4


async def test_from_the_start_means_from_the_start(deployment: Deployment) -> None:
    deployment.around.where = where(40_000)
    assert (await deployment.start(from_start=True)).resume_ms == 0


@pytest.mark.parametrize("failure", [Unreachable(service="viewing"), ValueError("a bug there")])
async def test_without_a_resume_point_it_begins_at_the_beginning(deployment: Deployment, failure: Exception) -> None:
    deployment.around.failing["position"] = failure
    assert (await deployment.start()).resume_ms == 0


async def test_a_resume_point_that_does_not_come_is_not_waited_for(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, start_ms=1_000)
    deployment.around.hanging.add("position")
    assert (await deployment.start()).resume_ms == 0


@pytest.mark.parametrize("hangs", ["viewer", "playable", "rank"])
async def test_it_does_not_wait_for_ever(deployment: Deployment, hangs: str) -> None:
    deployment = Deployment(deployment.store, start_ms=50)
    deployment.around.hanging.add(hangs)
    with pytest.raises(DeadlineExceeded):
        await deployment.start()
    assert await deployment.facts() == []


async def test_a_callers_earlier_deadline_stays(deployment: Deployment) -> None:
    deployment.around.hanging.add("rank")
    with context.with_timeout(30), pytest.raises(DeadlineExceeded):
        await deployment.start()


async def test_who_may_not_watch_is_told_why(deployment: Deployment) -> None:
    deployment.around.maturity = 7
    with pytest.raises(TooMature) as caught:
        await deployment.start()
    assert (caught.value.maturity, caught.value.profile_maturity) == (12, 7)
    deployment.around.status = "closed"
    with pytest.raises(NotEntitled):
        await deployment.start()
    with pytest.raises(Forbidden):
        await deployment.start(replace(principal(), profile_id=None))
    assert await deployment.facts() == []


async def test_the_viewers_reason_comes_before_the_titles_and_the_edges_last(deployment: Deployment) -> None:
    deployment.around.failing = {"rank": NoEdge(retry_after_ms=1000)}
    with pytest.raises(NoEdge):
        await deployment.start()
    deployment.around.failing["playable"] = NotAvailable(title_id=TITLE, territory="DE")
    with pytest.raises(NotAvailable):
        await deployment.start()
    deployment.around.failing["viewer"] = ProfileNotFound(profile_id=ids.derive(ProfileId, "ada"))
    with pytest.raises(ProfileNotFound):
        await deployment.start()


async def test_a_device_gets_only_what_it_can_play(deployment: Deployment) -> None:
    play = await deployment.start(capabilities=Capabilities(max_height_px=720))
    assert deployment.around.said("grant")[0]["terms"].labels == ("AUDIO", "SD")
    assert "v1080" not in await deployment.manifest(play)
    assert "v480" in await deployment.manifest(play)
    with pytest.raises(NoRendition):
        await deployment.start(capabilities=Capabilities(video=("av01",)))


def series(deployment: Deployment, *numbers: int) -> None:
    for number in numbers:
        following = episode(number + 1) if number + 1 in numbers else None
        one = replace(
            deployment.around.playables[None],
            asset=asset(f"e{number}"),
            episode=episode(number),
            next_episode=following,
        )
        deployment.around.playables[episode(number).episode_id] = one
    deployment.around.playables[None] = deployment.around.playables[episode(numbers[0]).episode_id]


@pytest.mark.parametrize(
    ("left_at", "number", "resume_ms"),
    [(None, 1, 0), ((50_000, 2), 2, 48_000), ((99_000, 2), 3, 0), ((99_000, 3), 1, 0), ((50_000, 9), 1, 0)],
)
async def test_a_series_goes_on_where_it_was_left(
    deployment: Deployment, left_at: tuple[int, int] | None, number: int, resume_ms: int
) -> None:
    series(deployment, 1, 2, 3)
    deployment.around.playables[episode(9).episode_id] = deployment.around.playables[None]
    deployment.around.where = where(*left_at) if left_at else None
    play = await deployment.start()
    assert (play.episode_number, play.resume_ms) == (number, resume_ms)
    assert (play.next_up.number if play.next_up else None) == (number + 1 if number < 3 else None)


async def test_an_episode_that_was_asked_for_is_played(deployment: Deployment) -> None:
    series(deployment, 1, 2, 3)
    deployment.around.where = where(50_000, 2)
    play = await deployment.start(episode_id=episode(3).episode_id)
    assert (play.episode_number, play.resume_ms) == (3, 0)
