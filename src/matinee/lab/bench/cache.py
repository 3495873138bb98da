"""Catalogue reads through each cache, beside reads of MariaDB: rows of forty titles."""

from __future__ import annotations

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
from matinee.lab.bench.harness import Bench, Call, time_in_turns

TITLES, ROW, IN_FLIGHT = 400, 40, 8
TIMEOUT_MS = 1000


async def measure(bench: Bench) -> None:
    """Measure; takes about half a minute."""
    clock, metrics = SystemClock(), CacheMetrics(Metrics())
    database = await bench.stack.enter_async_context(Database(bench.open_engine("mariadb")))
    store = await SqlTitleStore.open(database)
    memory = MemoryReadModel(store=store, clock=clock)
    await _put_titles(CatalogueService(store=store, read_model=memory, clock=clock))
    calls: dict[str, Call] = {
        "MariaDB": lambda n: store.load(_row(n)),
        "memory": lambda n: memory.titles(_row(n)),
    }
    for name in ("redis", "memcached"):
        client = await open_cache_client(
            bench.open_engine(name), stack=bench.stack, metrics=metrics, clock=clock, timeout_ms=TIMEOUT_MS
        )
        shared = SharedTitleSource(store=store, client=client, clock=clock, policy=POLICY)
        bench.stack.push_async_callback(shared.close)
        await shared.list_changes(0)
        calls[name] = _load(shared)
    mariadb, *others = await time_in_turns(
        calls, count=bench.size(200, 8), in_flight=IN_FLIGHT, rounds=bench.size(5, 1)
    )
    for samples in others:
        bench.report(f"a row of forty titles: {samples.name}", samples, "µs", baseline=mariadb)


def _load(shared: SharedTitleSource) -> Call:
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
