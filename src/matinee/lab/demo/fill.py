"""Fills a running deployment with the demo titles: a film is submitted and encoded while the next one is made.

Existing films are skipped, so this can be killed and run again at any time.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from matinee.app.clients import Clients, open_clients
from matinee.app.masters import upload_masters
from matinee.catalogue.api import Artwork, Catalogue, TitleDraft, TitleNotFound
from matinee.drivers.objects import ObjectStore
from matinee.drivers.process import ToolFailed
from matinee.encoding.api import Encoding, Order, SideFile
from matinee.kit import log
from matinee.kit.hashing import sha256_file
from matinee.kit.problem import Problem
from matinee.lab.demo.make import make_in_process
from matinee.lab.demo.reels import ENTRIES, CatalogueEntry, DemoFiles
from matinee.mesh.hosting.settings import Settings

MAX_QUEUED = 2
POLL_S = 1.0
_log = log.get()


class DemoFailed(Problem, status=500):
    """A demo film could not be made."""


async def fill(settings: Settings) -> None:
    """Make the demo films that are missing. Raises DemoFailed if one cannot be made."""
    folder, objects = settings.data / "demo", ObjectStore(settings.objects.store)
    async with open_clients(settings) as services:
        for slug, entry in ENTRIES.items():
            if not await _is_published(services, entry):
                await _wait_for_queue(services, MAX_QUEUED)
                await _submit(settings, services, objects, entry, await _make(folder, slug))
        await _wait_for_queue(services, 0)
    shutil.rmtree(folder, ignore_errors=True)


async def _is_published(services: Clients, entry: CatalogueEntry) -> bool:
    try:
        title = await services.get(Catalogue).title(title_id=entry.draft.title_id)
    except TitleNotFound:
        return False
    if entry.episode_id is None:
        return title.asset_id is not None
    return any(e.episode_id == entry.episode_id and e.asset_id is not None for e in title.episodes)


async def _wait_for_queue(services: Clients, limit: int) -> None:
    """Wait until at most `limit` jobs are queued or running: films are made no faster than they are encoded."""
    while True:
        jobs = (await services.get(Encoding).list_jobs()).items
        if sum(job.state in ("queued", "running") for job in jobs) <= limit:
            return
        await asyncio.sleep(POLL_S)


async def _make(folder: Path, slug: str) -> DemoFiles:
    try:
        return await make_in_process(slug, folder)
    except ToolFailed as error:
        raise DemoFailed(detail=f"The demo film {slug} could not be made: {error}") from error


async def _submit(
    settings: Settings, services: Clients, objects: ObjectStore, entry: CatalogueEntry, files: DemoFiles
) -> None:
    title_id, catalogue, folder = entry.draft.title_id, services.get(Catalogue), Path(files.folder)
    await _ensure_title(services, entry.draft)
    await catalogue.add_artwork(title_id=title_id, artwork=await _store(objects, folder, files.artwork))
    if entry.episode_id is not None:
        stills = await _store(objects, folder, files.stills)
        await catalogue.add_artwork(title_id=title_id, artwork=stills, episode_id=entry.episode_id)
    order = Order(
        title_id=title_id,
        episode_id=entry.episode_id,
        path=str(folder / files.master),
        audio=_to_side_files(folder, files.audio),
        subtitles=_to_side_files(folder, files.subtitles),
        language=entry.draft.original_language,
    )
    async with upload_masters(settings, order) as transferred:
        job = await services.get(Encoding).submit(order=transferred)
    _log.info("demo.submitted", slug=files.slug, job_id=job.job_id)


async def _ensure_title(services: Clients, draft: TitleDraft) -> None:
    """Add the title unless it exists: what an operator has changed since must stay."""
    try:
        await services.get(Catalogue).title(title_id=draft.title_id)
    except TitleNotFound:
        await services.get(Catalogue).put_title(draft=draft)


def _to_side_files(folder: Path, names: dict[str, str]) -> list[SideFile]:
    return [SideFile(path=str(folder / name), language=language) for language, name in names.items()]


async def _store(objects: ObjectStore, folder: Path, pictures: Iterable[Artwork]) -> list[Artwork]:
    """Store pictures as objects named by their content."""
    stored = []
    for picture in pictures:
        file = folder / picture.path
        name = f"{await asyncio.to_thread(sha256_file, file)}{file.suffix}"
        await objects.put_file(f"public/art/{name}", file)
        stored.append(msgspec.structs.replace(picture, path=name))
    return stored
