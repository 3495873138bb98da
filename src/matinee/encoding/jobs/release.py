"""The last steps: package, store the objects, attach the asset, offer the title."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from matinee.catalogue.api import Asset, TextTrack, Thumbnails
from matinee.encoding.api import NoSpace
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import whole
from matinee.encoding.model.plan import Plan
from matinee.encoding.ports import Packaged
from matinee.kit.ids import AssetId
from matinee.licensing.api import Label

_SIDE_BY_SIDE = 8


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset is put together of: files, and the tracks that are in them."""

    rungs: list[Path]
    sounds: list[Path]
    texts: list[tuple[TextTrack, Path]]
    thumbnails: Thumbnails
    sheets: Path


async def packaged(run: Run, plan: Plan, asset_id: AssetId, parts: Parts) -> tuple[Packaged, Path]:
    """Encrypted CMAF of every rendition, and the folder that it is in."""

    async def make() -> Packaged:
        folder = run.workspace.emptied("package")
        keys = await run.tools.licensing.content_keys(asset_id=asset_id, labels=_labels(plan))
        async with whole(folder):
            return await run.tools.packager.package(
                plan=plan, rungs=parts.rungs, sounds=parts.sounds, keys=keys, into=folder
            )

    run.teller.began("package")
    made = await run.once("package", "packaged", (plan, asset_id), Packaged, make)
    return made, run.workspace.folder / "package"


def _labels(plan: Plan) -> tuple[Label, ...]:
    return tuple(sorted({rung.label for rung in plan.rungs} | ({"AUDIO"} if plan.sounds else set())))


def assembled(run: Run, plan: Plan, asset_id: AssetId, made: Packaged, parts: Parts) -> Asset:
    """The asset as the catalogue knows it."""
    return Asset(
        asset_id=asset_id,
        title_id=run.order.title_id,
        prefix=f"assets/{asset_id}/",
        duration_ms=plan.duration_ms,
        video=made.video,
        audio=made.audio,
        text=[track for track, _ in parts.texts],
        thumbnails=parts.thumbnails,
        episode_id=run.order.episode_id,
    )


async def stored_objects(run: Run, asset: Asset, made: Packaged, folder: Path, parts: Parts) -> None:
    """Put everything of an asset into the object store; its description last, as the sign that all is there."""
    files = {name: folder / name for name in made.files}
    files |= {track.path: path for track, path in parts.texts}
    files |= {f"thumbnails/{path.name}": path for path in parts.sheets.glob("*.jpg")}
    run.teller.began("publish", len(files) + 1)
    try:
        await _put_all(run, asset.prefix, files)
        await run.tools.blobs.put(key=sign(asset.asset_id), data=msgspec.json.encode(asset))
    except NoSpace:
        await run.tools.blobs.delete(prefix=asset.prefix)
        raise


async def _put_all(run: Run, prefix: str, files: dict[str, Path]) -> None:
    """Store files side by side. After a failure no more are begun, and those under way are waited for."""
    slots, done, failures = asyncio.Semaphore(_SIDE_BY_SIDE), 0, list[Exception]()

    async def put(name: str, path: Path) -> None:
        nonlocal done
        async with slots:
            if failures:
                return
            try:
                await run.tools.blobs.put_file(key=prefix + name, path=path)
            except Exception as error:  # raised below, when nothing is under way any more
                failures.append(error)
            done += 1
            run.teller.went("publish", done)

    await asyncio.gather(*(put(name, path) for name, path in files.items()))
    if failures:
        raise failures[0]


def sign(asset_id: AssetId) -> str:
    """The object whose presence says that an asset's objects are all there: its description."""
    return f"assets/{asset_id}/asset.json"


async def made_before(run: Run, asset_id: AssetId) -> Asset | None:
    """The asset, where the same input has been through here already."""
    data = await run.tools.blobs.get(key=sign(asset_id))
    return None if data is None else msgspec.json.decode(data, type=Asset)


async def offered(run: Run, asset: Asset) -> None:
    """Attach the asset to its title, and offer the title if that was asked."""
    catalogue = run.tools.catalogue
    await catalogue.attach_asset(asset=asset)
    if run.order.publish:
        await catalogue.publish(title_id=asset.title_id)
