"""The last steps: package, store the objects, attach the asset, offer the title."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from matinee.catalogue.api import Artwork, ArtworkKind, Asset, TextTrack, Thumbnails, Title
from matinee.encoding.api import NoSpace
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import whole
from matinee.encoding.model.pictures import best, candidates
from matinee.encoding.model.plan import Plan
from matinee.encoding.ports import Packaged
from matinee.kit.hashing import sha256_file
from matinee.kit.ids import AssetId
from matinee.licensing.api import Label

_SIDE_BY_SIDE = 8
# Kind of picture → its shape, width over height, and its most lines.
SHAPES: dict[ArtworkKind, tuple[float, int]] = {
    "poster": (2 / 3, 900),
    "card": (16 / 9, 720),
    "backdrop": (16 / 9, 1080),
    "still": (16 / 9, 720),
}


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
    slots, done = asyncio.Semaphore(_SIDE_BY_SIDE), 0

    async def put(name: str, path: Path) -> None:
        nonlocal done
        async with slots:
            await run.tools.blobs.put_file(key=asset.prefix + name, path=path)
        done += 1
        run.teller.went("publish", done)

    try:
        async with asyncio.TaskGroup() as group:
            for name, path in files.items():
                group.create_task(put(name, path))
        await run.tools.blobs.put(key=sign(asset.asset_id), data=msgspec.json.encode(asset))
    except* NoSpace:
        await run.tools.blobs.delete(prefix=asset.prefix)
        raise


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


async def artwork(run: Run, plan: Plan, parts: Parts) -> None:
    """Give a title that lacks pictures some out of the film."""
    title = await run.tools.catalogue.title(title_id=run.order.title_id)
    folder = run.workspace.at("artwork")
    own, episodes = _lacking(title, run)
    if not own and not episodes:
        return
    frame = best(await run.tools.stills.looks(film=parts.rungs[0], keyframes=candidates(len(plan.keyframes))))
    time_ms = round(frame.keyframe * plan.gop_frames / plan.source.frame_rate * 1000)
    made = {kind: await _picture(run, parts.rungs[-1], time_ms, kind, folder) for kind in {*own, *episodes}}
    for kinds, episode_id in ((own, None), (episodes, run.order.episode_id)):
        if pictures := [made[kind] for kind in kinds]:
            await run.tools.catalogue.add_artwork(title_id=title.title_id, artwork=pictures, episode_id=episode_id)


def _lacking(title: Title, run: Run) -> tuple[list[ArtworkKind], list[ArtworkKind]]:
    """The kinds of picture that the title lacks, and those that the episode does."""
    wanted: tuple[ArtworkKind, ...] = ("poster", "card", "backdrop")
    own: list[ArtworkKind] = [kind for kind in wanted if kind not in {art.kind for art in title.artwork}]
    episode = next((e for e in title.episodes if e.episode_id == run.order.episode_id), None)
    return own, ["still"] if episode is not None and not episode.artwork else []


async def _picture(run: Run, film: Path, time_ms: int, kind: ArtworkKind, folder: Path) -> Artwork:
    aspect, height_px = SHAPES[kind]
    file = folder / f"{kind}.jpg"
    width, height, colour = await run.tools.stills.crop(
        film=film, time_ms=time_ms, aspect=aspect, height_px=height_px, out=file
    )
    name = f"{await asyncio.to_thread(sha256_file, file)}.jpg"
    await run.tools.blobs.put_file(key=f"public/art/{name}", path=file)
    return Artwork(kind=kind, path=name, width_px=width, height_px=height, colour=colour)
