"""Encoding with the real catalogue and licensing in one folder. Run as a program, it is a worker of that folder."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.unit.encoding_rig import make_tools

from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.service import CatalogueService
from matinee.drivers.sql import Database
from matinee.drivers.vault import FileSealer
from matinee.encoding.adapters.sources import SqlSourceStore
from matinee.encoding.adapters.sql import SqlJobStore
from matinee.encoding.jobs import Tools, run_worker
from matinee.encoding.service import EncodingService
from matinee.kit.clock import Clock, SystemClock
from matinee.licensing.adapters.sql import SqlKeyVault
from matinee.licensing.service import LicensingService
from matinee.mesh.executor.processes import ProcessExecutor


@dataclass(frozen=True)
class EncodingDeployment:
    """The services of a folder, and its paths."""

    store: SqlJobStore
    sources: SqlSourceStore
    tools: Tools
    encoding: EncodingService
    catalogue: CatalogueService
    licensing: LicensingService
    objects: Path
    work: Path


@asynccontextmanager
async def open_deployment(
    data: Path, *, clock: Clock | None = None, chunk_s: int = 40
) -> AsyncIterator[EncodingDeployment]:
    """Open the services of a folder; a second time, as another process does."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        names = ("encoding", "catalogue", "licensing")
        at = {name: await stack.enter_async_context(Database(f"sqlite:///{data}/{name}.db")) for name in names}
        titles = await SqlTitleStore.open(at["catalogue"])
        read_model = MemoryReadModel(store=titles, clock=clock)
        catalogue = CatalogueService(store=titles, read_model=read_model, clock=clock)
        vault, sealer = await SqlKeyVault.open(at["licensing"]), FileSealer.open(data / "kek")
        licensing = LicensingService(vault=vault, sealer=sealer, token_key=b"k" * 32, clock=clock)
        executor = await stack.enter_async_context(ProcessExecutor(workers=1))
        tools = make_tools(data, catalogue, licensing, executor, processes=1, chunk_s=chunk_s)
        store = await SqlJobStore.open(at["encoding"])
        sources = SqlSourceStore(at["encoding"])
        encoding = EncodingService(
            store=store,
            sources=sources,
            blobs=tools.blobs,
            prober=tools.prober,
            catalogue=catalogue,
            executor=executor,
            clock=clock,
        )
        yield EncodingDeployment(store, sources, tools, encoding, catalogue, licensing, data / "objects", data / "work")


async def _main(data: Path, chunk_s: int) -> None:
    async with open_deployment(data, chunk_s=chunk_s) as deployment:
        await run_worker(
            store=deployment.store,
            tools=deployment.tools,
            clock=SystemClock(),
            folder=deployment.work,
            owner="other-process",
        )


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
