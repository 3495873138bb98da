"""The registration of encoding."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from matinee.catalogue.api import Catalogue
from matinee.encoding.api import Encoding
from matinee.events.api import Events, relay_facts
from matinee.kit.bounds import CountOrZero
from matinee.licensing.api import Licensing
from matinee.mesh.hosting.domain import Domain, Wiring

Preset: TypeAlias = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]


class EncodingSection(msgspec.Struct, frozen=True, kw_only=True):
    """Encoding. `processes` 0 means one for each core; `preset` is x264's."""

    store: str = "sqlite:///{data}/encoding.db"
    work: str = "{data}/work"
    processes: CountOrZero = 0
    preset: Preset = "veryfast"


async def _build(wiring: Wiring[EncodingSection]) -> Encoding:
    from matinee.drivers.ffmpeg import Ffmpeg
    from matinee.drivers.objects import ObjectStore
    from matinee.drivers.packager import Shaka
    from matinee.encoding import jobs
    from matinee.encoding.adapters.ffmpeg import FfmpegEncoder, FfmpegProber, FfmpegStills
    from matinee.encoding.adapters.objects import ObjectBlobs
    from matinee.encoding.adapters.packager import ShakaPackager
    from matinee.encoding.adapters.sources import SqlSourceStore
    from matinee.encoding.adapters.sql import SqlJobStore
    from matinee.encoding.service import EncodingService
    from matinee.kit import ids
    from matinee.kit.ids import InstanceId

    settings, clock, catalogue = wiring.settings, wiring.clock, wiring.client(Catalogue)
    database = await wiring.database("store")
    store, sources = await SqlJobStore.open(database), SqlSourceStore(database)
    objects, ffmpeg = ObjectStore(wiring.objects.store), Ffmpeg()
    wiring.watch(objects, "objects.store")
    await objects.ensure_bucket()
    blobs, prober, folder = ObjectBlobs(objects), FfmpegProber(ffmpeg), Path(settings.work)
    tools = jobs.Tools(
        blobs=blobs,
        prober=prober,
        encoder=FfmpegEncoder(ffmpeg),
        stills=FfmpegStills(ffmpeg, wiring.executor),
        packager=ShakaPackager(Shaka()),
        catalogue=catalogue,
        licensing=wiring.client(Licensing),
        executor=wiring.executor,
        processes=settings.processes or os.cpu_count() or 1,
        preset=settings.preset,
    )
    owner = ids.generate(InstanceId, clock.now())
    tracer = wiring.runtime.tracer
    wiring.add_job(jobs.run_worker, store=store, tools=tools, clock=clock, folder=folder, owner=owner, tracer=tracer)
    wiring.add_job(jobs.sweep_folders, store=store, clock=clock, folder=folder)
    wiring.add_schedule("@every 1h", jobs.sweep_objects, remove_unfinished=blobs.remove_unfinished, clock=clock)
    wiring.add_job(relay_facts, store.outbox, wiring.client(Events))
    return EncodingService(
        store=store,
        sources=sources,
        blobs=blobs,
        prober=prober,
        catalogue=catalogue,
        executor=wiring.executor,
        clock=clock,
    )


DOMAIN = Domain(
    name="encoding",
    section=EncodingSection,
    protocol=Encoding,
    needs=(Events, Catalogue, Licensing),
    build=_build,
    store="store",
    own_process=True,
)
