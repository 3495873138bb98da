"""Every `TitleStore`: a change is whole or nothing, lists are ordered and filtered, revisions miss nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.stores import SQL, database_url, store_opener

from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import (
    Asset,
    Genre,
    Mood,
    RightsWindow,
    SegmentRun,
    Title,
    TitleNotFound,
    VideoTrack,
)
from matinee.catalogue.ports import Change, ListEntry, TitleFilter, TitleStore
from matinee.drivers.migrations import MigrationScripts, run_on_store, upgrade
from matinee.drivers.sql import Database
from matinee.events.api import FactRecord, TitlePublished
from matinee.kit import ids
from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import AssetId, FactId, TitleId

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TO_NOW = to_ms(NOW)
SHOWN = TitleFilter(territory="DE", maturity=18, now=NOW)
Opener = Callable[[], Awaitable[SqlTitleStore]]
DRAMA = Genre(genre_id="drama", names={"en": "Drama", "de": "Drama"})
NOIR = Genre(genre_id="noir", names={"en": "Noir"})
FACTS: dict[str, Any] = {
    "countries": ["KR"],
    "studios": ["東宝"],
    "franchise": {"en": "Ärger"},
    "moods": [Mood(mood_id="feel-good", names={"en": "Feel-good"})],
    "keywords": [{"en": "heist", "de": "Überfall"}],
}


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "catalogue")


@pytest.fixture
async def open_store(url: str) -> AsyncIterator[Opener]:
    """Opens the same data again: a second opener is a second process's view of it."""
    async with store_opener(SqlTitleStore, url) as opened:
        yield opened


def title(name: str, *, age_min: int = 0, **fields: Any) -> Title:
    """A published, playable film; the greater `age_min`, the longer it has been published."""
    known = {
        "kind": "film",
        "names": {"en": name},
        "original_language": "en",
        "state": "published",
        "rights": [RightsWindow()],
        "asset_id": ids.derive(AssetId, name),
        "published_at": NOW - timedelta(minutes=age_min),
    }
    return Title(**{"title_id": ids.derive(TitleId, name), **known, **fields})


def asset(of: Title, tag: str = "") -> Asset:
    asset_id = ids.derive(AssetId, of.names["en"], tag)
    track = VideoTrack(
        track_id=f"v720{tag}",
        codec="avc1.64001f",
        bandwidth_bps=3_000_000,
        timescale=12_800,
        init="v720/init.mp4",
        media="v720/$Number$.m4s",
        segments=[SegmentRun(0, 51_200, 10), SegmentRun(512_000, 7_000)],
        width_px=1280,
        height_px=720,
        frame_rate="25",
    )
    prefix = f"assets/{asset_id}/"
    return Asset(asset_id=asset_id, title_id=of.title_id, prefix=prefix, duration_ms=40_547, video=[track])


async def put(store: TitleStore, one: Title, now: datetime = NOW) -> Title:
    return await store.change(one.title_id, lambda current, assets: Change(title=one), now)


async def list_shown(store: TitleStore, wanted: TitleFilter = SHOWN, limit: int = 100) -> list[TitleId]:
    return [entry.title_id for entry in await store.browse(wanted, None, limit)]


async def test_title_survives_reopening(open_store: Opener) -> None:
    one = title("Ärger 🎬 \U0001f600", genres=[DRAMA], synopses={"de": "x" * 5000}, **FACTS)
    await put(await open_store(), one)
    again = await open_store()
    assert [stored.title for stored in await again.load([one.title_id, ids.derive(TitleId, "none")])] == [one]
    assert await again.genres() == [DRAMA]


async def test_asset_is_stored_with_its_title_and_can_be_replaced(open_store: Opener) -> None:
    store = await open_store()
    one = title("a")
    first, second = asset(one), asset(one, "b")
    with_first = replace(one, asset_id=first.asset_id)
    await store.change(one.title_id, lambda *_: Change(title=with_first, asset=first), NOW)
    given: list[Asset] = []

    def next_one(current: Title | None, assets: list[Asset]) -> Change:
        given.extend(assets)
        assert current == with_first
        return Change(title=replace(one, asset_id=second.asset_id), asset=second)

    await store.change(one.title_id, next_one, NOW)
    assert given == [first]
    assert await (await open_store()).asset(second.asset_id) == second
    assert await store.asset(first.asset_id) == first  # running play sessions continue
    assert await store.asset(ids.derive(AssetId, "none")) is None


async def test_raising_rule_stores_nothing(open_store: Opener) -> None:
    store = await open_store()
    one = await put(store, title("a"))
    before = await store.list_changes(0)

    def fails(current: Title | None, assets: list[Asset]) -> Change:
        raise TitleNotFound(title_id=one.title_id)

    with pytest.raises(TitleNotFound):
        await store.change(one.title_id, fails, NOW)
    assert (await store.load([one.title_id]))[0].title == one
    assert await store.list_changes(0) == before


async def test_rule_without_change_keeps_title_and_raises_for_missing_title(open_store: Opener) -> None:
    store = await open_store()
    one = await put(store, title("a"))
    assert await store.change(one.title_id, lambda *_: None, NOW) == one
    with pytest.raises(TitleNotFound):
        await store.change(ids.derive(TitleId, "none"), lambda *_: None, NOW)


async def test_facts_are_relayed_after_commit(open_store: Opener) -> None:
    store = await open_store()
    one = title("a")
    record = FactRecord(
        fact_id=ids.derive(FactId, "a"), at=NOW, key=one.title_id, fact=TitlePublished(title_id=one.title_id)
    )
    encoded = msgspec.json.encode(record)
    await store.change(one.title_id, lambda *_: Change(title=one, records=[encoded]), NOW)
    relayed: list[bytes] = []

    async def append(records: list[bytes]) -> None:
        relayed.extend(records)

    assert await (await open_store()).outbox.relay(append) == 1
    assert await store.outbox.relay(append) == 0
    assert [msgspec.json.decode(each, type=FactRecord) for each in relayed] == [record]


async def test_lists_are_newest_first_and_continue_after_cursor(open_store: Opener) -> None:
    store = await open_store()
    # Three of the same minute: the id decides, and none is lost or list_shown twice between pages.
    films = [title(f"t{at}", age_min=at // 3) for at in range(10)]
    for film in films:
        await put(store, film)
    films.sort(key=lambda film: (film.published_at, film.title_id), reverse=True)
    found: list[ListEntry] = []
    while page := await store.browse(SHOWN, (found[-1].at, found[-1].title_id) if found else None, 3):
        found += page
    assert [entry.title_id for entry in found] == [film.title_id for film in films]
    assert [place.at for place in found] == [film.published_at for film in films]


async def test_operator_list_has_every_state_newest_first(open_store: Opener) -> None:
    store = await open_store()
    states = ["draft", "published", "withdrawn"]
    made = [title(state, state=state, asset_id=None, published_at=None) for state in states]
    for at, one in enumerate(made):
        await put(store, one, NOW + timedelta(minutes=at))
    assert await list_shown(store) == []
    first = await store.everything(None, 2)
    rest = await store.everything((first[-1].at, first[-1].title_id), 2)
    assert [entry.title_id for entry in first + rest] == [one.title_id for one in reversed(made)]


async def test_browse_lists_published_playable_titles_only(open_store: Opener) -> None:
    store = await open_store()
    for name, fields in {
        "draft": {"state": "draft", "published_at": None},
        "withdrawn": {"state": "withdrawn"},
        "nothing to play": {"asset_id": None},
        "good": {},
    }.items():
        await put(store, title(name, genres=[DRAMA], **fields))
    assert await list_shown(store) == [ids.derive(TitleId, "good")]
    assert await store.genres() == [DRAMA]
    await put(store, title("good", genres=[DRAMA], state="withdrawn"))
    assert await list_shown(store) == []
    assert await store.genres() == []


async def test_browse_filters_by_genre_kind_and_age(open_store: Opener) -> None:
    store = await open_store()
    await put(store, title("a", age_min=1, genres=[DRAMA, NOIR], maturity=16))
    await put(store, title("b", age_min=2, genres=[DRAMA], kind="series", maturity=6))
    a, b = ids.derive(TitleId, "a"), ids.derive(TitleId, "b")
    assert await list_shown(store, replace(SHOWN, genre_id="drama")) == [a, b]
    assert await list_shown(store, replace(SHOWN, genre_id="noir")) == [a]
    assert await list_shown(store, replace(SHOWN, genre_id="none")) == []
    assert await list_shown(store, replace(SHOWN, kind="series")) == [b]
    assert await list_shown(store, replace(SHOWN, maturity=15)) == [b]
    assert await list_shown(store, replace(SHOWN, genre_id="drama", kind="film", maturity=16)) == [a]
    assert await store.genres() == [DRAMA, NOIR]
    await put(store, title("a", age_min=1, genres=[NOIR]))
    assert await list_shown(store, replace(SHOWN, genre_id="drama")) == [b]


async def test_territory_windows_take_precedence_over_global_windows(open_store: Opener) -> None:
    store = await open_store()
    tomorrow, yesterday = NOW + timedelta(days=1), NOW - timedelta(days=1)
    windows = {
        "everywhere": [RightsWindow()],
        "not yet here": [RightsWindow(), RightsWindow(territory="DE", opens_at=tomorrow)],
        "only here": [RightsWindow(territory="DE")],
        "elsewhere": [RightsWindow(territory="FR")],
        "over": [RightsWindow(closes_at=NOW)],
        "just open": [RightsWindow(opens_at=NOW, closes_at=tomorrow)],
        "again": [RightsWindow(territory="DE", closes_at=yesterday), RightsWindow(territory="DE", opens_at=yesterday)],
        "nowhere": [],
    }
    for name, rights in windows.items():
        await put(store, title(name, rights=rights))
    names = {ids.derive(TitleId, name): name for name in windows}
    assert {names[id_] for id_ in await list_shown(store)} == {"everywhere", "only here", "just open", "again"}
    french = await list_shown(store, replace(SHOWN, territory="FR"))
    assert {names[id_] for id_ in french} == {"everywhere", "not yet here", "elsewhere", "just open"}


async def test_pages_merge_every_rating_and_territory_in_one_order(open_store: Opener) -> None:
    """Each page is a merge of one listing for each rating, here and everywhere."""
    store = await open_store()
    ages = (0, 6, 12, 16, 18)
    for at in range(30):
        rights = [RightsWindow(territory="DE" if at % 3 else "*")]
        await put(store, title(f"t{at}", age_min=at, maturity=ages[at * 7 % 5], rights=rights, genres=[DRAMA]))
    found: list[ListEntry] = []
    wanted = replace(SHOWN, maturity=16, genre_id="drama")
    while page := await store.browse(wanted, (found[-1].at, found[-1].title_id) if found else None, 4):
        found += page
    expected = [ids.derive(TitleId, f"t{at}") for at in range(30) if ages[at * 7 % 5] <= 16]
    assert [entry.title_id for entry in found] == expected


async def test_title_with_overlapping_windows_is_listed_once(open_store: Opener) -> None:
    store = await open_store()
    yesterday = NOW - timedelta(days=1)
    twice = [RightsWindow(opens_at=yesterday), RightsWindow(closes_at=NOW + timedelta(days=1))]
    await put(store, title("twice", rights=twice))
    assert await list_shown(store) == [ids.derive(TitleId, "twice")]


async def test_titles_of_an_earlier_version_are_listed(url: str) -> None:
    scripts = MigrationScripts.load("matinee.catalogue.adapters:migrations")
    earlier = partial(upgrade, scripts=MigrationScripts(scripts.paths[:1]), name="catalogue")
    await asyncio.to_thread(run_on_store, url, earlier)
    titles = "('tit_a', 'film', 6, 1, 5, 1, '{}'), ('tit_b', 'film', 6, 1, NULL, 2, '{}')"
    # Two windows that overlap, one apart from them, one of another territory, one of a title that is not offered.
    windows = f"""
        ('tit_a', 0, '*', 0, 10), ('tit_a', 1, '*', 9, {TO_NOW}), ('tit_a', 2, '*', {TO_NOW + 10}, {TO_NOW + 20}),
        ('tit_a', 3, 'FR', 0, 1), ('tit_b', 0, '*', 0, {TO_NOW})
    """
    rows = [
        f"INSERT INTO catalogue_titles VALUES {titles}",
        "INSERT INTO catalogue_title_genres VALUES ('drama', 'tit_a', 5), ('drama', 'tit_b', NULL)",
        f"INSERT INTO catalogue_rights VALUES {windows}",
    ]
    async with Database(url) as database:
        await database.write(lambda connection: [connection.exec_driver_sql(row) for row in rows])
        store = await SqlTitleStore.open(database)
        for genre_id in (None, "drama"):
            for at_ms, territory, expected in (
                (TO_NOW - 1, "DE", ["tit_a"]),
                (TO_NOW + 1, "DE", []),
                (TO_NOW + 15, "DE", ["tit_a"]),
                (TO_NOW - 1, "FR", []),
            ):
                wanted = TitleFilter(territory=territory, maturity=6, now=from_ms(at_ms), genre_id=genre_id)
                assert [entry.title_id for entry in await store.browse(wanted, None, 9)] == expected


async def test_concurrent_changes_of_a_title_are_serialised(open_store: Opener) -> None:
    stores = [await open_store(), await open_store()]
    one = await put(stores[0], title("a", year=0))

    def later(current: Title | None, assets: list[Asset]) -> Change:
        assert current is not None
        return Change(title=replace(current, year=(current.year or 0) + 1))

    await asyncio.gather(*(stores[at % 2].change(one.title_id, later, NOW) for at in range(40)))
    assert (await stores[1].load([one.title_id]))[0].title.year == 40


async def test_no_change_is_missed_by_a_follower(open_store: Opener) -> None:
    writer, reader = await open_store(), await open_store()
    found, revision, done = set[TitleId](), 0, asyncio.Event()

    async def follow() -> None:
        nonlocal revision
        while True:
            last = done.is_set()
            changes = await reader.list_changes(revision)
            found.update(changes.title_ids)
            assert changes.revision >= revision
            revision = changes.revision
            if last:
                return
            await asyncio.sleep(0)  # a look-up may answer at once: the writers need their turn

    films = [title(f"t{at}") for at in range(60)]
    following = asyncio.create_task(follow())
    await asyncio.gather(*(put(writer, film) for film in films))
    done.set()
    await following
    assert found == {film.title_id for film in films}
    assert (await reader.list_changes(revision)).title_ids == []


names = st.sampled_from(["a", "b", "c", "d"])
steps = st.lists(
    st.tuples(
        names,
        st.sampled_from(["draft", "published", "withdrawn"]),
        st.sampled_from([0, 12, 18]),
        st.sampled_from([(), (DRAMA,), (DRAMA, NOIR)]),
        st.booleans(),
    ),
    max_size=12,
)


@given(steps=steps)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_store_behaves_like_a_dict(url: str, steps: list[tuple[str, Any, int, tuple[Genre, ...], bool]]) -> None:
    kept: dict[TitleId, Title] = {}
    async with store_opener(SqlTitleStore, url, clear=True) as reopen:
        store = await reopen()
        for name, state, maturity, genres, playable in steps:
            asset_id = ids.derive(AssetId, name) if playable else None
            one = title(name, state=state, maturity=maturity, genres=list(genres), asset_id=asset_id)
            kept[one.title_id] = await put(store, one)
        store = await reopen()
        assert {stored.title.title_id: stored.title for stored in await store.load(list(kept))} == kept
        for genre_id in (None, "drama", "noir"):
            for maturity in (0, 12, 18):
                found = await list_shown(store, replace(SHOWN, genre_id=genre_id, maturity=maturity))
                assert set(found) == {id_ for id_, one in kept.items() if _fits(one, genre_id, maturity)}


def _fits(one: Title, genre_id: str | None, maturity: int) -> bool:
    in_genre = genre_id is None or genre_id in {genre.genre_id for genre in one.genres}
    return one.state == "published" and one.asset_id is not None and one.maturity <= maturity and in_genre
