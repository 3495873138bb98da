"""Encoding with the real catalogue and licensing in one folder; run as a program, a worker of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.unit.encoding_rig import tools

from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.service import CatalogueService
from matinee.drivers.sql import Database
from matinee.drivers.vault import FileSealer
from matinee.encoding.adapters.sql import SqlJobStore
from matinee.encoding.jobs import Tools, run_worker
from matinee.encoding.service import EncodingService
from matinee.kit.clock import Clock, SystemClock
from matinee.licensing.adapters.sql import SqlKeyVault
from matinee.licensing.service import LicensingService


@dataclass(frozen=True)
class Studio:
    """What stands in the folder."""

    store: SqlJobStore
    tools: Tools
    encoding: EncodingService
    catalogue: CatalogueService
    licensing: LicensingService
    objects: Path
    work: Path


@asynccontextmanager
async def studio(data: Path, *, clock: Clock | None = None, chunk_s: int = 40) -> AsyncIterator[Studio]:
    """Open it; again for what another process would see."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        names = ("encoding", "catalogue", "licensing")
        at = {name: await stack.enter_async_context(Database(f"sqlite:///{data}/{name}.db")) for name in names}
        titles = await SqlTitleStore.open(at["catalogue"])
        read_model = MemoryReadModel(store=titles, clock=clock)
        catalogue = CatalogueService(store=titles, read_model=read_model, clock=clock)
        vault, sealer = await SqlKeyVault.open(at["licensing"]), FileSealer.open(data / "kek")
        licensing = LicensingService(vault=vault, sealer=sealer, token_key=b"k" * 32, clock=clock)
        made = tools(data, catalogue, licensing, processes=1, chunk_s=chunk_s)
        store = await SqlJobStore.open(at["encoding"])
        encoding = EncodingService(store=store, blobs=made.blobs, prober=made.prober, catalogue=catalogue, clock=clock)
        yield Studio(store, made, encoding, catalogue, licensing, data / "objects", data / "work")


async def _main(data: Path, chunk_s: int) -> None:
    async with studio(data, chunk_s=chunk_s) as one:
        await run_worker(store=one.store, tools=one.tools, clock=SystemClock(), folder=one.work, owner="doomed")


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
