"""Catalogue reads through each cache, beside reads of MariaDB: rows of forty titles."""

from __future__ import annotations

import contextlib
import functools

import uvloop

from matinee.catalogue.adapters.cached import POLICY, SharedTitleSource
from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import TitleDraft
from matinee.catalogue.service import CatalogueService
from matinee.drivers.cache import CacheMetrics
from matinee.drivers.cache.opening import open_cache_client
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.kit.ids import TitleId, derive
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench, Operation, time_in_turns

AREA = "cache"
TITLES, ROW, IN_FLIGHT = 400, 40, 8
TIMEOUT_MS = 1000


def measure(bench: Bench) -> list[Figure]:
    """Measure; takes about half a minute."""
    with bench.open_engines("mariadb", "redis", "memcached") as urls:
        return uvloop.run(_measure(urls, bench.size(200, 8), bench.size(5, 1)))


async def _measure(urls: dict[str, str], count: int, rounds: int) -> list[Figure]:
    clock, metrics = SystemClock(), CacheMetrics(Metrics())
    async with contextlib.AsyncExitStack() as stack:
        store = await SqlTitleStore.open(await stack.enter_async_context(Database(urls["mariadb"])))
        memory = MemoryReadModel(store=store, clock=clock)
        await _put_titles(CatalogueService(store=store, read_model=memory, clock=clock))
        operations: dict[str, Operation] = {
            "MariaDB": lambda n: store.load(_row(n)),
            "memory": lambda n: memory.titles(_row(n)),
        }
        for name in ("redis", "memcached"):
            client = await open_cache_client(
                urls[name], stack=stack, metrics=metrics, clock=clock, timeout_ms=TIMEOUT_MS
            )
            shared = SharedTitleSource(store=store, client=client, clock=clock, policy=POLICY)
            stack.push_async_callback(shared.close)
            await shared.list_changes(0)
            operations[name] = _load(shared)
        times_us = await time_in_turns(*operations.values(), count=count, in_flight=IN_FLIGHT, rounds=rounds)
    compare = functools.partial(make_figure, AREA, baseline=times_us[0], baseline_name="MariaDB")
    return [
        compare(f"a row of forty titles: {name}", us, "µs")
        for name, us in list(zip(operations, times_us, strict=True))[1:]
    ]


def _load(shared: SharedTitleSource) -> Operation:
    return lambda number: shared.load(_row(number))


def _row(number: int) -> list[TitleId]:
    return [derive(TitleId, "bench", str((number * 7 + n) % TITLES)) for n in range(ROW)]


async def _put_titles(catalogue: CatalogueService) -> None:
    for number in range(TITLES):
        draft = TitleDraft(
            title_id=derive(TitleId, "bench", str(number)),
            kind="film",
            names={"en": f"Film number {number}"},
            synopses={"en": "A synopsis of ordinary length for a film. " * 6},
            original_language="en",
            year=2026,
        )
        await catalogue.put_title(draft=draft)
