"""The last home pages of profiles, in each cache engine."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.conformance.cache_rig import Clients
from tests.engines import shared_engine

from matinee.gateway.api import Card, HomeScreen, Pictures, Row
from matinee.gateway.service import LastHomes
from matinee.gateway.service.last_homes import MAX_AGE, STORE_INTERVAL
from matinee.identity.api import Profile
from matinee.kit.clock import ManualClock, SystemClock
from matinee.kit.ids import AccountId, ProfileId, TitleId, derive

KINDS = ("memory", "redis", "memcached")
PROFILE = Profile(
    profile_id=derive(ProfileId, "p"), account_id=derive(AccountId, "a"), name="Zoë", avatar="ember", language="de"
)


def make_screen(name: str) -> HomeScreen:
    title_id = derive(TitleId, name)
    card = Card(title_id=title_id, kind="film", name=name, pictures=Pictures(), maturity=12, duration_ms=5_000)
    return HomeScreen(rows=[Row(row_id="new", kind="new", cards=[card])])


FILM = make_screen("Film")
EARLIER = msgspec.structs.replace(FILM, earlier=True)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=KINDS)
def clients(request: pytest.FixtureRequest, stack: AsyncExitStack) -> Clients:
    return Clients("memory://" if request.param == "memory" else shared_engine(request.param).url("cache"), stack)


async def test_a_page_is_found_by_every_gateway(clients: Clients) -> None:
    one, other, now = LastHomes(await clients.open()), LastHomes(await clients.open()), SystemClock().now()
    assert await other.find(PROFILE, now) is None
    await one.keep(PROFILE, FILM, now)
    assert [await homes.find(PROFILE, now) for homes in (one, other)] == [EARLIER, EARLIER]


@pytest.mark.parametrize(
    "change",
    [{"maturity": 12}, {"language": "en"}, {"kids": True}, {"profile_id": derive(ProfileId, "other")}],
    ids=lambda change: next(iter(change)),
)
async def test_a_page_is_not_found_for_another_or_a_changed_profile(
    clients: Clients, change: dict[str, object]
) -> None:
    homes, now = LastHomes(await clients.open()), SystemClock().now()
    await homes.keep(PROFILE, FILM, now)
    changed = msgspec.structs.replace(PROFILE, **change)
    assert await homes.find(changed, now) is None
    await homes.keep(changed, make_screen("Other"), now)
    assert await homes.find(changed, now) == msgspec.structs.replace(make_screen("Other"), earlier=True)


async def test_a_page_is_found_for_an_hour(clients: Clients) -> None:
    homes, clock = LastHomes(await clients.open()), ManualClock(SystemClock().now())
    await homes.keep(PROFILE, FILM, clock.now())
    assert await homes.find(PROFILE, clock.advance(seconds=MAX_AGE.total_seconds())) == EARLIER
    assert await homes.find(PROFILE, clock.advance(milliseconds=1)) is None


async def test_a_page_of_a_clock_that_was_ahead_is_not_found(clients: Clients) -> None:
    homes, now = LastHomes(await clients.open()), SystemClock().now()
    await homes.keep(PROFILE, FILM, now + timedelta(seconds=30))
    assert await homes.find(PROFILE, now) == EARLIER
    await LastHomes(await clients.open()).keep(PROFILE, FILM, now + timedelta(hours=5))
    assert await homes.find(PROFILE, now) is None


async def test_a_gateway_stores_a_page_of_a_profile_once_a_minute(clients: Clients) -> None:
    client, clock = await clients.open(), ManualClock(SystemClock().now())
    homes, interval = LastHomes(client), {"seconds": STORE_INTERVAL.total_seconds()}
    for _ in range(50):
        await homes.keep(PROFILE, FILM, clock.now())
        clock.advance(seconds=1)
    assert clients.count_keys(client, "stored") == 1
    clock.advance(**interval)
    await homes.keep(PROFILE, FILM, clock.now())
    clock.advance(hours=-1)  # the clock was wrong
    await homes.keep(PROFILE, FILM, clock.now())
    assert clients.count_keys(client, "stored") == 3


@pytest.mark.parametrize("page", [b"", b"\xc1", b"\x80", b"\x81\xa1z" + b"\x91" * 100_000, b"cut", b"text"])
async def test_garbage_is_not_found(clients: Clients, page: bytes) -> None:
    homes, client, now = LastHomes(await clients.open()), await clients.open(), SystemClock().now()
    recorder = Recorder()
    await LastHomes(recorder).keep(PROFILE, FILM, now)
    damaged = {b"cut": recorder.page[:-1], b"text": recorder.page.replace(b"Film", b"\xff\xfflm")}.get(page, page)
    await client.put(recorder.key, damaged, ttl_ms=60_000)
    assert await homes.find(PROFILE, now) is None
    await homes.keep(PROFILE, FILM, now)
    assert await homes.find(PROFILE, now) == EARLIER


@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_without_the_cache_nothing_is_found(kind: str, stack: AsyncExitStack) -> None:
    clients = Clients(f"{kind}://127.0.0.1:1/0", stack)
    client, now = await clients.open(), datetime(2026, 5, 1, tzinfo=UTC)
    homes = LastHomes(client)
    for number in range(20):
        await homes.keep(msgspec.structs.replace(PROFILE, profile_id=derive(ProfileId, str(number))), FILM, now)
        assert await homes.find(PROFILE, now) is None
    assert clients.count_calls(client, "skipped") > 0


@dataclasses.dataclass
class Recorder:
    """A cache that records what is stored."""

    key: str = ""
    page: bytes = b""

    async def get(self, key: str) -> bytes | None:
        return self.page if key == self.key else None

    async def put(self, key: str, value: bytes, *, ttl_ms: int) -> bool:
        assert ttl_ms == MAX_AGE // timedelta(milliseconds=1)
        self.key, self.page = key, value
        return True
