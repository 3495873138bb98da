"""Starting playback: the answer, the refusals, and the episode that a series continues with."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.playback_rig import (
    EDGE_IDS,
    NOW,
    TITLE,
    Deployment,
    asset,
    episode,
    is_valid_link,
    open_deployment,
    principal,
)

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
    async with open_deployment(tmp_path) as deployment:
        yield deployment


def make_position(position_ms: int, number: int | None = None, duration_ms: int = 100_000) -> Position:
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


async def test_start_returns_all_that_a_player_needs(deployment: Deployment) -> None:
    deployment.domains.last_position = make_position(40_000)
    play = await deployment.start()
    assert (play.names, play.resume_ms, play.duration_ms) == ({"en": "A film"}, 38_000, 100_000)
    assert [delivery.edge_id for delivery in play.deliveries] == EDGE_IDS
    assert all(is_valid_link(delivery.base_url, NOW) for delivery in play.deliveries)
    assert play.dash_path.startswith(f"/api/v1/playback/{play.session_id}/manifest/")
    assert [(text.language, text.label) for text in play.text] == [("de", "Deutsch")]
    terms = deployment.domains.calls_of("grant")[0]["terms"]
    assert (terms.session_id, terms.labels, terms.expires_at) == (
        play.session_id,
        ("AUDIO", "SD", "HD"),
        play.expires_at,
    )
    assert (terms.profile_id, terms.device_id) == (principal().profile_id, principal().device_id)
    assert await deployment.relay_facts() == [
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


async def test_other_domains_are_called_concurrently(deployment: Deployment) -> None:
    await deployment.start()
    assert deployment.domains.most_concurrent == 4


async def test_start_from_the_beginning_ignores_the_position(deployment: Deployment) -> None:
    deployment.domains.last_position = make_position(40_000)
    assert (await deployment.start(from_start=True)).resume_ms == 0


@pytest.mark.parametrize("failure", [Unreachable(service="viewing"), ValueError("a bug there")])
async def test_start_without_a_resume_point_is_at_the_beginning(deployment: Deployment, failure: Exception) -> None:
    deployment.domains.failing["position"] = failure
    assert (await deployment.start()).resume_ms == 0


async def test_slow_resume_point_is_not_awaited(deployment: Deployment) -> None:
    deployment = Deployment(deployment.store, start_ms=1_000)
    deployment.domains.hanging.add("position")
    assert (await deployment.start()).resume_ms == 0


@pytest.mark.parametrize("hangs", ["viewer", "playable", "rank"])
async def test_start_has_a_deadline(deployment: Deployment, hangs: str) -> None:
    deployment = Deployment(deployment.store, start_ms=50)
    deployment.domains.hanging.add(hangs)
    with pytest.raises(DeadlineExceeded):
        await deployment.start()
    assert await deployment.relay_facts() == []


async def test_earlier_deadline_of_the_caller_applies(deployment: Deployment) -> None:
    deployment.domains.hanging.add("rank")
    with context.with_timeout(30), pytest.raises(DeadlineExceeded):
        await deployment.start()


async def test_refused_viewer_gets_the_reason(deployment: Deployment) -> None:
    deployment.domains.maturity = 7
    with pytest.raises(TooMature) as caught:
        await deployment.start()
    assert (caught.value.maturity, caught.value.profile_maturity) == (12, 7)
    deployment.domains.status = "closed"
    with pytest.raises(NotEntitled):
        await deployment.start()
    with pytest.raises(Forbidden):
        await deployment.start(replace(principal(), profile_id=None))
    assert await deployment.relay_facts() == []


async def test_viewers_problem_precedes_the_titles_and_the_edges(deployment: Deployment) -> None:
    deployment.domains.failing = {"rank": NoEdge(retry_after_ms=1000)}
    with pytest.raises(NoEdge):
        await deployment.start()
    deployment.domains.failing["playable"] = NotAvailable(title_id=TITLE, territory="DE")
    with pytest.raises(NotAvailable):
        await deployment.start()
    deployment.domains.failing["viewer"] = ProfileNotFound(profile_id=ids.derive(ProfileId, "ada"))
    with pytest.raises(ProfileNotFound):
        await deployment.start()


async def test_device_gets_only_tracks_it_can_play(deployment: Deployment) -> None:
    play = await deployment.start(capabilities=Capabilities(max_height_px=720))
    assert deployment.domains.calls_of("grant")[0]["terms"].labels == ("AUDIO", "SD")
    assert "v1080" not in await deployment.manifest(play)
    assert "v480" in await deployment.manifest(play)
    with pytest.raises(NoRendition):
        await deployment.start(capabilities=Capabilities(video=("av01",)))


def add_series(deployment: Deployment, *numbers: int) -> None:
    for number in numbers:
        following = episode(number + 1) if number + 1 in numbers else None
        one = replace(
            deployment.domains.playables[None],
            asset=asset(f"e{number}"),
            episode=episode(number),
            next_episode=following,
        )
        deployment.domains.playables[episode(number).episode_id] = one
    deployment.domains.playables[None] = deployment.domains.playables[episode(numbers[0]).episode_id]


@pytest.mark.parametrize(
    ("left_at", "number", "resume_ms"),
    [(None, 1, 0), ((50_000, 2), 2, 48_000), ((99_000, 2), 3, 0), ((99_000, 3), 1, 0), ((50_000, 9), 1, 0)],
)
async def test_series_continues_where_it_was_left(
    deployment: Deployment, left_at: tuple[int, int] | None, number: int, resume_ms: int
) -> None:
    add_series(deployment, 1, 2, 3)
    deployment.domains.playables[episode(9).episode_id] = deployment.domains.playables[None]
    deployment.domains.last_position = make_position(*left_at) if left_at else None
    play = await deployment.start()
    assert (play.episode_number, play.resume_ms) == (number, resume_ms)
    assert (play.next_up.number if play.next_up else None) == (number + 1 if number < 3 else None)


async def test_requested_episode_is_played(deployment: Deployment) -> None:
    add_series(deployment, 1, 2, 3)
    deployment.domains.last_position = make_position(50_000, 2)
    play = await deployment.start(episode_id=episode(3).episode_id)
    assert (play.episode_number, play.resume_ms) == (3, 0)
