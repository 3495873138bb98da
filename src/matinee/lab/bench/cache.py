"""A stored home page through the cache's client, beside a bare client; and rows of forty titles without a cache."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import Redis

from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import TitleDraft
from matinee.catalogue.service import CatalogueService
from matinee.drivers.cache import CacheMetrics
from matinee.drivers.cache.opening import open_cache_client
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.gateway.api import Card, GenreView, HomeScreen, Picture, Pictures, Row
from matinee.gateway.service.last_homes import LastHome, LastHomes
from matinee.identity.api import Profile
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AccountId, ProfileId, TitleId, derive
from matinee.lab.bench.harness import Bench, Call, time_in_turns

ROWS, CARDS = 20, 20
TITLES, READ_TITLES = 400, 40
TIMEOUT_MS = 1000
MAX_RATIO = 1.5
KEY, TTL_MS = "page", 3_600_000


async def measure(bench: Bench) -> None:
    """Measure; takes about half a minute."""
    count, rounds = bench.size(200, 8), bench.size(15, 1)
    for name in ("memory", "redis", "memcached"):
        await _measure_pages(bench, name, count, rounds)
    await _measure_rows(bench, count, rounds)


async def _measure_pages(bench: Bench, name: str, count: int, rounds: int) -> None:
    clock, url = SystemClock(), "memory://" if name == "memory" else bench.open_engine(name)
    client = await open_cache_client(
        url, stack=bench.stack, metrics=CacheMetrics(Metrics()), clock=clock, timeout_ms=TIMEOUT_MS
    )
    profile, screen, now = _make_profile(), _make_screen(), clock.now()
    page = msgspec.msgpack.encode(LastHome(profile_digest=bytes(16), made_at=now, screen=screen))
    last_homes = LastHomes(client)
    await client.put(KEY, page, ttl_ms=TTL_MS)
    await last_homes.keep(profile, screen, now)
    calls: dict[str, Call] = {"ours": lambda _: client.get(KEY), "decoded": lambda _: last_homes.find(profile, now)}
    if name != "memory":
        open_bare = _open_redis if name == "redis" else _open_socket
        calls["a bare client"] = await open_bare(url, page, bench.stack)
    ours, decoded, *bare = await time_in_turns(calls, count=count, rounds=rounds)
    what = f"a home page of {len(page) // 1000} kB"
    bench.report(f"{what}: {name}", ours, "µs", baseline=bare[0] if bare else None, max_ratio=MAX_RATIO)
    bench.report(f"{what}, decoded: {name}", decoded, "µs")


async def _open_redis(url: str, page: bytes, stack: AsyncExitStack) -> Call:
    redis = await stack.enter_async_context(Redis.from_url(url.partition("?")[0]))
    await redis.set(KEY, page, px=TTL_MS)
    return lambda _: redis.get(KEY)


async def _open_socket(url: str, page: bytes, stack: AsyncExitStack) -> Call:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)
    stack.callback(writer.close)
    writer.write(f"set {KEY} 0 60 {len(page)}\r\n".encode() + page + b"\r\n")
    await reader.readline()

    async def get(_: int) -> bytes:
        writer.write(f"get {KEY}\r\n".encode())
        size_bytes = int((await reader.readline()).split()[-1])
        value = await reader.readexactly(size_bytes)
        await reader.readexactly(len(b"\r\nEND\r\n"))
        return value

    return get


async def _measure_rows(bench: Bench, count: int, rounds: int) -> None:
    database = await bench.stack.enter_async_context(Database(bench.open_engine("mariadb")))
    store = await SqlTitleStore.open(database)
    memory = MemoryReadModel(store=store, clock=SystemClock())
    title_ids = [derive(TitleId, "bench", str(number)) for number in range(TITLES)]
    await _put_titles(CatalogueService(store=store, read_model=memory, clock=SystemClock()), title_ids)
    rows = [[title_ids[(first * 7 + n) % TITLES] for n in range(READ_TITLES)] for first in range(TITLES)]
    calls: dict[str, Call] = {
        "MariaDB": lambda number: store.load(rows[number % TITLES]),
        "memory": lambda number: memory.titles(rows[number % TITLES]),
    }
    for samples in await time_in_turns(calls, count=count, rounds=rounds):
        bench.report(f"a row of forty titles: {samples.name}", samples, "µs")


async def _put_titles(catalogue: CatalogueService, title_ids: list[TitleId]) -> None:
    for number, title_id in enumerate(title_ids):
        draft = TitleDraft(
            title_id=title_id,
            kind="film",
            names={"en": f"Film number {number}"},
            synopses={"en": "A synopsis of ordinary length for a film. " * 6},
            original_language="en",
            year=2026,
        )
        await catalogue.put_title(draft=draft)


def _make_profile() -> Profile:
    account_id, profile_id = derive(AccountId, "bench"), derive(ProfileId, "bench")
    return Profile(profile_id=profile_id, account_id=account_id, name="Ada", avatar="ember", language="en")


def _make_screen() -> HomeScreen:
    genres = [GenreView(genre_id=f"genre-{number}", name=f"Genre {number}") for number in range(ROWS)]
    return HomeScreen(
        rows=[
            Row(
                row_id=f"genre-{row}",
                kind="genre",
                genre=genres[row],
                cards=[_make_card(row * CARDS + number, genres[:3]) for number in range(CARDS)],
            )
            for row in range(ROWS)
        ]
    )


def _make_card(number: int, genres: list[GenreView]) -> Card:
    title_id = derive(TitleId, "bench", str(number))
    pictures = {
        kind: Picture(url=f"/media/artwork/{title_id}/{kind}.avif", width_px=640, height_px=360, colour="#203040")
        for kind in ("card", "poster", "backdrop")
    }
    return Card(
        title_id=title_id,
        kind="film",
        name=f"Film number {number}",
        pictures=Pictures(**pictures),
        maturity=12,
        duration_ms=5_400_000,
        genres=genres,
        year=2026,
        tagline="A tagline of ordinary length",
    )
