"""The catalogue as its callers meet it, on a real store; two instances above one store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from matinee.catalogue import jobs
from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import (
    Artwork,
    Asset,
    AssetNotFound,
    Episode,
    EpisodeNotFound,
    Genre,
    NotAvailable,
    NotPlayable,
    RightsWindow,
    SegmentRun,
    TitleDraft,
    TitleNotFound,
    VideoTrack,
)
from matinee.catalogue.service import CatalogueService
from matinee.drivers.sql import Database
from matinee.events.api import FactRecord, TitleChanged, TitlePublished, TitleWithdrawn
from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import AssetId, EpisodeId, TitleId
from matinee.kit.problem import Invalid

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILM = ids.derive(TitleId, "film")


class Deployment:
    """Instances of the catalogue above one file, sharing a clock that moves when told."""

    def __init__(self, path: Path, stack: AsyncExitStack) -> None:
        self.clock = ManualClock(NOW)
        self._path = path
        self._stack = stack

    async def instance(self, **limits: int) -> CatalogueService:
        database = await self._stack.enter_async_context(Database(f"sqlite:///{self._path}/catalogue.db"))
        self.store = await SqlTitleStore.open(database)
        self.read_model = MemoryReadModel(store=self.store, clock=self.clock, **limits)
        return CatalogueService(store=self.store, read_model=self.read_model, clock=self.clock)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        yield Deployment(tmp_path, stack)


def draft(title_id: TitleId = FILM, **fields: Any) -> TitleDraft:
    known: dict[str, Any] = {"kind": "film", "names": {"en": "A film"}, "original_language": "en"}
    return TitleDraft(**{"title_id": title_id, **known, **fields})


def episode(number: int) -> Episode:
    episode_id = ids.derive(EpisodeId, str(number))
    return Episode(episode_id=episode_id, season_number=1, number=number, names={"en": f"Episode {number}"})


def asset(name: str = "asset", title_id: TitleId = FILM, **fields: Any) -> Asset:
    asset_id = ids.derive(AssetId, name)
    video = VideoTrack(
        track_id="v",
        codec="avc1.64001f",
        bandwidth_bps=1_000_000,
        timescale=1000,
        init="v/init.mp4",
        media="v/$Number$.m4s",
        segments=[SegmentRun(0, 4000, 5)],
        width_px=1280,
        height_px=720,
        frame_rate="25",
    )
    known: dict[str, Any] = {"prefix": f"assets/{asset_id}/", "duration_ms": 20_000, "video": [video]}
    return Asset(asset_id=asset_id, title_id=title_id, **{**known, **fields})


async def publish_title(catalogue: CatalogueService, title_id: TitleId = FILM, **fields: Any) -> None:
    await catalogue.put_title(draft=draft(title_id, **fields))
    await catalogue.attach_asset(asset=asset(title_id, title_id))
    await catalogue.publish(title_id=title_id)


async def read_facts(deployment: Deployment) -> list[Any]:
    facts: list[Any] = []

    async def append(records: list[bytes]) -> None:
        facts.extend(msgspec.json.decode(record, type=FactRecord).fact for record in records)

    await deployment.store.outbox.relay(append)
    return facts


async def test_title_is_drafted_published_played_and_withdrawn(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    assert (await catalogue.put_title(draft=draft())).state == "draft"
    with pytest.raises(NotPlayable):
        await catalogue.publish(title_id=FILM)
    await catalogue.attach_asset(asset=asset())
    with pytest.raises(TitleNotFound):
        await catalogue.playable(title_id=FILM, territory="DE")
    title = await catalogue.publish(title_id=FILM)
    assert (title.state, title.published_at, title.duration_ms) == ("published", NOW, 20_000)
    playable = await catalogue.playable(title_id=FILM, territory="DE")
    assert (playable.asset, playable.episode, playable.next_episode) == (asset(), None, None)
    assert await catalogue.titles(title_ids=[ids.derive(TitleId, "none"), FILM]) == [title]
    assert (await catalogue.withdraw(title_id=FILM)).state == "withdrawn"
    with pytest.raises(TitleNotFound):
        await catalogue.playable(title_id=FILM, territory="DE")
    assert await catalogue.titles(title_ids=[FILM]) == []
    assert (await catalogue.title(title_id=FILM)).state == "withdrawn"
    assert await catalogue.asset(asset_id=asset().asset_id) == asset()  # who has begun may go on


async def test_repeated_calls_emit_no_further_facts(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    for _ in range(2):
        await catalogue.put_title(draft=draft())
        await catalogue.attach_asset(asset=asset())
        await catalogue.publish(title_id=FILM)
    assert await read_facts(deployment) == [
        TitleChanged(title_id=FILM, aspects=("details",)),
        TitleChanged(title_id=FILM, aspects=("assets",)),
        TitlePublished(title_id=FILM, asset_id=asset().asset_id),
    ]
    await catalogue.attach_asset(asset=asset("better"))
    for _ in range(2):
        await catalogue.withdraw(title_id=FILM)
    better = asset("better").asset_id
    assert await read_facts(deployment) == [
        TitleChanged(title_id=FILM, aspects=("assets",)),
        TitlePublished(title_id=FILM, asset_id=better),
        TitleWithdrawn(title_id=FILM),
    ]


async def test_withdrawing_a_draft_emits_no_withdrawal(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    await catalogue.put_title(draft=draft())
    await catalogue.withdraw(title_id=FILM)
    assert await read_facts(deployment) == [TitleChanged(title_id=FILM, aspects=("details",))]


async def test_edits_emit_what_they_changed(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    await publish_title(catalogue)
    await read_facts(deployment)
    poster = Artwork(kind="poster", path="art/1.jpg", width_px=400, height_px=600)
    for _ in range(2):
        await catalogue.add_artwork(title_id=FILM, artwork=[poster])
    await catalogue.put_title(draft=draft(names={"en": "Another name"}, artwork=[poster]))
    assert await read_facts(deployment) == [
        TitleChanged(title_id=FILM, aspects=("artwork",)),
        TitleChanged(title_id=FILM, aspects=("details",)),
    ]


async def test_missing_titles_episodes_and_assets_raise_not_found(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    none = ids.derive(TitleId, "none")
    for call in (
        catalogue.title(title_id=none),
        catalogue.publish(title_id=none),
        catalogue.withdraw(title_id=none),
        catalogue.attach_asset(asset=asset(title_id=none)),
        catalogue.add_artwork(title_id=none, artwork=[]),
        catalogue.playable(title_id=TitleId("'; DROP TABLE catalogue_titles; --"), territory="DE"),
    ):
        with pytest.raises(TitleNotFound):
            await call
    with pytest.raises(AssetNotFound):
        await catalogue.asset(asset_id=ids.derive(AssetId, "none"))


async def test_invalid_input_stores_nothing(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    with pytest.raises(Invalid):
        await catalogue.put_title(draft=draft(names={"en": ""}))
    assert (await catalogue.everything()).items == []
    await publish_title(catalogue)
    with pytest.raises(Invalid):
        await catalogue.attach_asset(asset=replace(asset("broken"), video=[]))
    playable = await catalogue.playable(title_id=FILM, territory="DE")
    assert playable.asset.asset_id == asset(FILM).asset_id
    for limit, territory, cursor in ((0, "DE", None), (201, "DE", None), (1, "Germany", None), (1, "DE", "nonsense")):
        with pytest.raises(Invalid):
            await catalogue.browse(territory=territory, limit=limit, cursor=cursor)


async def test_rights_apply_by_territory_and_time(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    opens = NOW + timedelta(hours=1)
    await publish_title(catalogue, rights=[RightsWindow(territory="DE", opens_at=opens)])
    for territory in ("DE", "FR"):
        with pytest.raises(NotAvailable):
            await catalogue.playable(title_id=FILM, territory=territory)
        assert (await catalogue.browse(territory=territory)).items == []
    deployment.clock.advance(hours=1)
    assert (await catalogue.playable(title_id=FILM, territory="DE")).asset == asset(FILM)
    assert [title.title_id for title in (await catalogue.browse(territory="DE")).items] == [FILM]


async def test_series_plays_episodes_in_order(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    await catalogue.put_title(draft=draft(kind="series", episodes=[episode(1), episode(2), episode(3)]))
    for number in (2, 3):
        await catalogue.attach_asset(asset=asset(f"e{number}", episode_id=episode(number).episode_id))
    await catalogue.publish(title_id=FILM)
    first = await catalogue.playable(title_id=FILM, territory="DE")
    assert first.episode is not None
    assert first.next_episode is not None
    assert (first.episode.number, first.next_episode.number) == (2, 3)
    last = await catalogue.playable(title_id=FILM, territory="DE", episode_id=episode(3).episode_id)
    assert last.next_episode is None
    with pytest.raises(NotPlayable):
        await catalogue.playable(title_id=FILM, territory="DE", episode_id=episode(1).episode_id)
    with pytest.raises(EpisodeNotFound):
        await catalogue.playable(title_id=FILM, territory="DE", episode_id=episode(9).episode_id)
    # A series that lost all it could play is not shown, though it is published.
    await catalogue.put_title(draft=draft(kind="series", episodes=[episode(1)]))
    assert (await catalogue.browse(territory="DE")).items == []


async def test_browse_returns_each_title_once_across_pages(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    drama = Genre(genre_id="drama", names={"en": "Drama"})
    title_ids = [ids.derive(TitleId, str(at)) for at in range(7)]
    for title_id in title_ids:
        deployment.clock.advance(seconds=1)
        await publish_title(catalogue, title_id, genres=[drama])
    found: list[TitleId] = []
    cursor = None
    while True:
        page = await catalogue.browse(territory="DE", genre_id="drama", cursor=cursor, limit=3)
        found += [title.title_id for title in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert found == title_ids[::-1]
    assert await catalogue.genres() == [drama]
    assert len((await catalogue.everything(limit=5)).items) == 5


async def test_artwork_is_added(deployment: Deployment) -> None:
    catalogue = await deployment.instance()
    await publish_title(catalogue)
    poster = Artwork(kind="poster", path="art/1.jpg", width_px=400, height_px=600)
    await catalogue.add_artwork(title_id=FILM, artwork=[poster])
    assert (await catalogue.title(title_id=FILM)).artwork == [poster]
    with pytest.raises(Invalid):
        await catalogue.add_artwork(title_id=FILM, artwork=[replace(poster, path="../../etc/passwd")])


async def test_own_changes_are_visible_at_once_and_others_within_half_a_second(deployment: Deployment) -> None:
    here, there = await deployment.instance(), await deployment.instance()
    await publish_title(here)
    deployment.clock.advance(seconds=1)
    assert (await there.playable(title_id=FILM, territory="DE")).asset == asset(FILM)
    await here.attach_asset(asset=asset("better"))
    assert (await here.playable(title_id=FILM, territory="DE")).asset == asset("better")
    deployment.clock.advance(milliseconds=500)
    assert (await there.playable(title_id=FILM, territory="DE")).asset == asset("better")
    await there.withdraw(title_id=FILM)
    deployment.clock.advance(milliseconds=500)
    with pytest.raises(TitleNotFound):
        await here.playable(title_id=FILM, territory="DE")


async def test_changes_of_others_are_visible_also_after_the_clock_was_set_back(deployment: Deployment) -> None:
    here, there = await deployment.instance(), await deployment.instance()
    await publish_title(here)
    await there.playable(title_id=FILM, territory="DE")
    deployment.clock.advance(hours=-5)
    await here.withdraw(title_id=FILM)
    with pytest.raises(TitleNotFound):
        await there.playable(title_id=FILM, territory="DE")


async def test_asset_replaced_under_its_id_is_read_again(deployment: Deployment) -> None:
    here, there = await deployment.instance(), await deployment.instance()
    await publish_title(here)
    await there.playable(title_id=FILM, territory="DE")
    await here.attach_asset(asset=replace(asset(FILM), duration_ms=19_000))
    deployment.clock.advance(milliseconds=500)
    assert (await there.playable(title_id=FILM, territory="DE")).asset.duration_ms == 19_000


async def test_list_returns_titles_at_least_as_new_as_its_entries(deployment: Deployment) -> None:
    here, there = await deployment.instance(), await deployment.instance()
    await publish_title(here)
    await there.title(title_id=FILM)
    await here.put_title(draft=draft(names={"en": "Renamed"}))
    assert [title.names for title in (await there.browse(territory="DE")).items] == [{"en": "Renamed"}]


async def test_changes_are_followed_in_the_background(deployment: Deployment) -> None:
    here = await deployment.instance()
    there = await deployment.instance()
    following = asyncio.create_task(jobs.follow_changes(deployment.read_model))
    try:
        await publish_title(here)
        await _wait_until_published(there, True)
        await here.withdraw(title_id=FILM)
        await _wait_until_published(there, False)
    finally:
        following.cancel()


async def _wait_until_published(catalogue: CatalogueService, wanted: bool) -> None:
    for _ in range(2_000):
        if bool(await catalogue.titles(title_ids=[FILM])) == wanted:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the change was never learned")


async def test_small_cache_evicts_and_reads_again(deployment: Deployment) -> None:
    catalogue = await deployment.instance(titles_limit=2, assets_limit=1)
    title_ids = [ids.derive(TitleId, str(at)) for at in range(5)]
    for title_id in title_ids:
        await publish_title(catalogue, title_id)
    for _ in range(2):
        for title_id in title_ids:
            playable = await catalogue.playable(title_id=title_id, territory="DE")
            assert playable.asset == asset(title_id, title_id)
    assert [t.title_id for t in await catalogue.titles(title_ids=title_ids)] == title_ids


async def test_concurrent_readers_and_writers_converge_on_newest_state(deployment: Deployment) -> None:
    here, there = await deployment.instance(), await deployment.instance()
    await publish_title(here)

    async def read() -> None:
        for _ in range(50):
            await asyncio.gather(*(one.playable(title_id=FILM, territory="DE") for one in (here, there)))
            deployment.clock.advance(milliseconds=100)

    async def write() -> None:
        for at in range(20):
            await (here, there)[at % 2].put_title(draft=draft(year=2000 + at))

    await asyncio.gather(read(), read(), write())
    deployment.clock.advance(seconds=1)
    for one in (here, there):
        assert (await one.title(title_id=FILM)).year == 2019
