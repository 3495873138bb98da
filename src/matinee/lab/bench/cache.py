"""Catalogue reads with each cache between them and MariaDB, beside reading MariaDB: rows of forty titles."""

from __future__ import annotations

import contextlib

import uvloop

from matinee.catalogue.adapters.cached import POLICY, SharedTitleSource
from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import TitleDraft
from matinee.catalogue.service import CatalogueService
from matinee.drivers.cache import Figures
from matinee.drivers.cache.opening import open_guard
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.kit.clock import SystemClock
from matinee.kit.ids import TitleId, derive
from matinee.lab.bench.figure import Figure, compared
from matinee.lab.bench.pace import Work, engines, side_by_side

AREA = "cache"
TITLES, ROW, COUNT, IN_FLIGHT = 400, 40, 200, 8
LIMIT_MS = 1000


def figures() -> list[Figure]:
    """Measure; takes about half a minute."""
    with engines("mariadb", "redis", "memcached") as running:
        return uvloop.run(_measured({name: engine.url("bench") for name, engine in running.items()}))


async def _measured(urls: dict[str, str]) -> list[Figure]:
    clock, metrics = SystemClock(), Figures(Metrics())
    async with contextlib.AsyncExitStack() as stack:
        store = await SqlTitleStore.open(await stack.enter_async_context(Database(urls["mariadb"])))
        memory = MemoryReadModel(store=store, clock=clock)
        await _filled(CatalogueService(store=store, read_model=memory, clock=clock))
        works: dict[str, Work] = {"MariaDB": lambda n: store.load(_row(n)), "memory": lambda n: memory.titles(_row(n))}
        for name in ("redis", "memcached"):
            guard = await open_guard(urls[name], stack=stack, figures=metrics, clock=clock, limit_ms=LIMIT_MS)
            shared = SharedTitleSource(store=store, guard=guard, clock=clock, policy=POLICY)
            stack.push_async_callback(shared.close)
            await shared.changed(0)
            works[name] = _loading(shared)
        took = dict(zip(works, await side_by_side(*works.values(), count=COUNT, in_flight=IN_FLIGHT), strict=True))
    return [
        compared(AREA, f"a row of forty titles: {name}", us, "µs", baseline=took["MariaDB"], baseline_name="MariaDB")
        for name, us in took.items()
        if name != "MariaDB"
    ]


def _loading(shared: SharedTitleSource) -> Work:
    return lambda number: shared.load(_row(number))


def _row(number: int) -> list[TitleId]:
    return [derive(TitleId, "bench", str((number * 7 + one) % TITLES)) for one in range(ROW)]


async def _filled(catalogue: CatalogueService) -> None:
    for number in range(TITLES):
        draft = TitleDraft(
            title_id=derive(TitleId, "bench", str(number)),
            kind="film",
            names={"en": f"A film of the bench, number {number}"},
            synopses={"en": "Words about a film that nobody will ever see. " * 6},
            original_language="en",
            year=2026,
        )
        await catalogue.put_title(draft=draft)
