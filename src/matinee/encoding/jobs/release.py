"""The last steps: package the tracks, store their objects, attach the asset, publish the title."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from msgspec.structs import replace

from matinee.catalogue.api import Asset, Chapter, TextTrack, Thumbnails
from matinee.encoding.api import NoSpace
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import durable_outputs
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import AudioTrackPlan, Plan
from matinee.encoding.ports import Packaged
from matinee.kit.ids import AssetId
from matinee.licensing.api import Label

_PARALLEL_PUTS = 8


class EncodedTracks(msgspec.Struct, frozen=True, kw_only=True):
    """The encoded files of a plan, in its order; without thumbnails where the asset has them already.

    A sound that could not be encoded is missing.
    """

    video: list[Path]
    audio: list[tuple[AudioTrackPlan, Path]]
    text: list[tuple[TextTrack, Path]]
    thumbnails: tuple[Thumbnails, Path] | None


async def load_asset(run: Run, asset_id: AssetId) -> Asset | None:
    """Load the asset as an earlier job completed it, if any."""
    data = await run.tools.blobs.get(key=_build_description_key(asset_id))
    return None if data is None else msgspec.json.decode(data, type=Asset)


def list_missing(plan: Plan, asset: Asset) -> tuple[Rung, ...]:
    """List the rungs that an asset has no rendition of."""
    folders = {track.init.partition("/")[0] for track in asset.video}
    return tuple(rung for rung in plan.rungs if rung.folder not in folders)


async def package(run: Run, plan: Plan, asset_id: AssetId, tracks: EncodedTracks) -> tuple[Packaged, Path]:
    """Package the tracks of a plan as encrypted CMAF, and return them with their folder."""
    plan = replace(plan, audio=tuple(track for track, _ in tracks.audio))
    sounds = [path for _, path in tracks.audio]

    async def make() -> Packaged:
        folder = run.workspace.make_subfolder("package", empty=True)
        labels: set[Label] = {rung.key_label for rung in plan.rungs}
        if plan.audio:
            labels.add("AUDIO")
        keys = await run.tools.licensing.ensure_content_keys(asset_id=asset_id, labels=tuple(sorted(labels)))
        async with durable_outputs(folder):
            return await run.tools.packager.package(
                plan=plan, video=tracks.video, audio=sounds, text=tracks.text, keys=keys, into=folder
            )

    run.progress.start("package")
    packaged = await run.once("package", "packaged", (plan, asset_id), Packaged, make)
    return packaged, run.workspace.folder / "package"


def describe_asset(run: Run, plan: Plan, asset_id: AssetId, packaged: Packaged, tracks: EncodedTracks) -> Asset:
    """Describe a new asset to the catalogue."""
    return Asset(
        asset_id=asset_id,
        title_id=run.order.title_id,
        prefix=f"assets/{asset_id}/",
        duration_ms=plan.duration_ms,
        video=packaged.video,
        audio=packaged.audio,
        text=[replace(track, segmented=packaged.text.get(track.track_id)) for track, _ in tracks.text],
        thumbnails=tracks.thumbnails[0] if tracks.thumbnails else None,
        chapters=[Chapter(start_ms, name) for start_ms, name in plan.chapters],
        episode_id=run.order.episode_id,
    )


def add_renditions(asset: Asset, packaged: Packaged) -> Asset:
    """Return an asset with more renditions; one with the track id of a new one is superseded."""
    added = {track.track_id for track in packaged.video}
    return replace(asset, video=[*(track for track in asset.video if track.track_id not in added), *packaged.video])


async def store_objects(run: Run, asset: Asset, packaged: Packaged, folder: Path, tracks: EncodedTracks) -> None:
    """Put the objects of the tracks into the object store, and the asset's description last: it marks completion."""
    files = {name: folder / name for name in packaged.files}
    files |= {track.path: path for track, path in tracks.text}
    if tracks.thumbnails is not None:
        files |= {f"thumbnails/{path.name}": path for path in tracks.thumbnails[1].glob("*.jpg")}
    run.progress.start("publish", len(files) + 1)
    try:
        await _put_all(run, asset.prefix, files)
        await run.tools.blobs.put(key=_build_description_key(asset.asset_id), data=msgspec.json.encode(asset))
    except NoSpace:
        for track in {name.partition("/")[0] for name in files}:
            await run.tools.blobs.delete(prefix=f"{asset.prefix}{track}/")
        raise


async def _put_all(run: Run, prefix: str, files: dict[str, Path]) -> None:
    """Store files in parallel. After a failure no more are started, and the running ones are awaited."""
    slots, done, failures = asyncio.Semaphore(_PARALLEL_PUTS), 0, list[Exception]()

    async def put(name: str, path: Path) -> None:
        nonlocal done
        async with slots:
            if failures:
                return
            try:
                await run.tools.blobs.put_file(key=prefix + name, path=path)
            except Exception as error:  # raised below, once no put is running
                failures.append(error)
            done += 1
            run.progress.advance("publish", done)

    await asyncio.gather(*(put(name, path) for name, path in files.items()))
    if failures:
        raise failures[0]


def _build_description_key(asset_id: AssetId) -> str:
    return f"assets/{asset_id}/asset.json"


async def attach_asset(run: Run, asset: Asset) -> None:
    """Attach the asset to its title, and publish the title where the order says so."""
    await run.tools.catalogue.attach_asset(asset=asset)
    if run.order.publish:
        await run.tools.catalogue.publish(title_id=asset.title_id)
