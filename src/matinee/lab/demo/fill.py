"""Fills a running deployment with the demo titles: each film is made, handed in and encoded while the next is made.

Whatever is there already is left alone, so this can be killed and run again at any time.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from matinee.app.clients import Clients, open_clients
from matinee.app.masters import upload_masters
from matinee.catalogue.api import Artwork, Catalogue, Title, TitleNotFound
from matinee.drivers.objects import ObjectStore
from matinee.drivers.process import ToolFailed
from matinee.encoding.api import Encoding, Order, SideFile
from matinee.kit import log
from matinee.kit.hashing import sha256_file
from matinee.kit.ids import TitleId
from matinee.kit.problem import Problem
from matinee.lab.demo.catalogue import Place, drafts, places
from matinee.lab.demo.make import make_apart
from matinee.lab.demo.reel import DemoFiles, Picture
from matinee.mesh.hosting.settings import Settings

WAITING = 2
LOOK_S = 1.0
_log = log.get()


class DemoFailed(Problem, status=500):
    """A demo film could not be made."""


async def fill(settings: Settings) -> None:
    """Make what is missing of the demo catalogue. Raises DemoFailed for a film that cannot be made."""
    folder, objects = settings.data / "demo", ObjectStore(settings.objects.store)
    languages = {draft.title_id: draft.original_language for draft in drafts()}
    async with open_clients(settings) as deployment:
        for slug, place in places().items():
            if not await _is_there(deployment, place):
                await _room_in_the_queue(deployment)
                files = await _made(folder, slug)
                await _hand_in(settings, deployment, objects, place, files, languages[place.title_id])
        await _room_in_the_queue(deployment, waiting=0)
    shutil.rmtree(folder, ignore_errors=True)


async def _is_there(deployment: Clients, place: Place) -> bool:
    try:
        title = await deployment.get(Catalogue).title(title_id=place.title_id)
    except TitleNotFound:
        return False
    return _asset(title, place) is not None


def _asset(title: Title, place: Place) -> str | None:
    if place.episode_id is None:
        return title.asset_id
    return next((e.asset_id for e in title.episodes if e.episode_id == place.episode_id), None)


async def _room_in_the_queue(deployment: Clients, waiting: int = WAITING) -> None:
    """Wait until few jobs are under way: films are made no faster than they are encoded."""
    while True:
        jobs = (await deployment.get(Encoding).jobs()).items
        if sum(job.state in ("queued", "running") for job in jobs) <= waiting:
            return
        await asyncio.sleep(LOOK_S)


async def _made(folder: Path, slug: str) -> DemoFiles:
    try:
        return await make_apart(slug, folder)
    except ToolFailed as error:
        raise DemoFailed(detail=f"The demo film {slug} could not be made: {error}") from error


async def _hand_in(
    settings: Settings, deployment: Clients, objects: ObjectStore, place: Place, files: DemoFiles, language: str
) -> None:
    await _know(deployment, place.title_id)
    await deployment.get(Catalogue).add_artwork(title_id=place.title_id, artwork=await _kept(objects, files.artwork))
    if place.episode_id is not None:
        stills = await _kept(objects, files.stills)
        await deployment.get(Catalogue).add_artwork(
            title_id=place.title_id, artwork=stills, episode_id=place.episode_id
        )
    order = Order(
        title_id=place.title_id,
        episode_id=place.episode_id,
        path=files.master,
        audio=_side_files(files.audio),
        subtitles=_side_files(files.subtitles),
        language=language,
    )
    async with upload_masters(settings, order) as order_there:
        job = await deployment.get(Encoding).submit(order=order_there)
    _log.info("demo.handed_in", slug=files.slug, job_id=job.job_id)


async def _know(deployment: Clients, title_id: TitleId) -> None:
    """Put the title into the catalogue, unless it is there: what an operator changed of it since is theirs."""
    try:
        await deployment.get(Catalogue).title(title_id=title_id)
    except TitleNotFound:
        await deployment.get(Catalogue).put_title(draft=next(draft for draft in drafts() if draft.title_id == title_id))


def _side_files(paths: dict[str, str]) -> list[SideFile]:
    return [SideFile(path=path, language=language) for language, path in paths.items()]


async def _kept(objects: ObjectStore, pictures: Iterable[Picture]) -> list[Artwork]:
    """Pictures in the object store, named by their content."""
    return [await _kept_one(objects, picture) for picture in pictures]


async def _kept_one(objects: ObjectStore, picture: Picture) -> Artwork:
    file = Path(picture.path)
    name = f"{await asyncio.to_thread(sha256_file, file)}{file.suffix}"
    await objects.put_file(f"public/art/{name}", file)
    return Artwork(
        kind=picture.kind,
        path=name,
        width_px=picture.width_px,
        height_px=picture.height_px,
        colour=picture.colour,
        language=picture.language,
    )
