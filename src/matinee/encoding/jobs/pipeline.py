"""The pipeline from an order to its asset: nine steps, whose results are reused for equal inputs."""

from __future__ import annotations

from msgspec.structs import replace

from matinee.catalogue.api import Asset
from matinee.encoding.jobs import artwork, intake, picture, release, tracks
from matinee.encoding.jobs.failures import find_first
from matinee.encoding.jobs.run import Run
from matinee.encoding.model.plan import Plan
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.ports import MediaToolFailed
from matinee.kit import log
from matinee.kit.ids import AssetId

_log = log.get()


# What a step was doing, for a person, when a media tool refused the file for good.
_REFUSALS = {
    "inspect": ("file", "it cannot be read"),
    "analyse": ("picture", "its frames cannot be decoded"),
    "encode": ("picture", "it cannot be encoded"),
    "audio": ("sound", "it cannot be encoded"),
    "pictures": ("picture", "no stills can be taken from it"),
    "package": ("file", "what was encoded of it cannot be packaged"),
}


async def run_job(run: Run) -> Asset:
    """Process an order. Raises Problems that are final, and other exceptions where another attempt may help."""
    try:
        return await _run_steps(run)
    except (MediaToolFailed, ExceptionGroup) as error:
        failure = find_first(error)
        if not isinstance(failure, MediaToolFailed) or not failure.repeats:
            raise
        step = next((step.name for step in run.progress.job.steps if step.state == "running"), "")
        _log.error("encode.refused", file=run.file_name, step=step, error=str(failure))
        where, what = _REFUSALS.get(step, ("file", "it cannot be processed"))
        raise make_unusable(run.file_name, where, what, "Export it again as MP4, MOV or MKV.") from error


async def _run_steps(run: Run) -> Asset:
    plan = await _make_plan(run)
    asset_id = plan.compute_asset_id(run.order.title_id, run.order.episode_id)
    asset = await release.load_asset(run, asset_id)
    if asset is None:
        asset = await _make_asset(run, plan, asset_id)
    elif missing := release.list_missing(plan, asset):
        asset = await _extend_asset(run, replace(plan, rungs=missing, audio=(), text=()), asset)
    await release.attach_asset(run, asset)
    run.finish("publish")
    return asset


async def _make_plan(run: Run) -> Plan:
    run.progress.start("inspect")
    source = await intake.inspect_master(run)
    run.finish("inspect")
    run.progress.start("store")
    files = await intake.store_sources(run)
    run.finish("store")
    plan = await intake.make_plan(run, source, files)
    run.finish("analyse")
    return plan


async def _make_asset(run: Run, plan: Plan, asset_id: AssetId) -> Asset:
    encoded = await _encode(run, plan, with_thumbnails=True)
    packaged, folder = await release.package(run, plan, asset_id, encoded)
    run.finish("package")
    asset = release.describe_asset(run, plan, asset_id, packaged, encoded)
    await artwork.add_artwork(run, plan, encoded.video)
    await release.store_objects(run, asset, packaged, folder, encoded)
    return asset


async def _extend_asset(run: Run, plan: Plan, asset: Asset) -> Asset:
    """Add the renditions of a plan to an asset; the objects it has stay as they are."""
    encoded = await _encode(run, plan, with_thumbnails=False)
    packaged, folder = await release.package(run, plan, asset.asset_id, encoded)
    run.finish("package")
    # Another job may have added renditions in the meantime.
    asset = release.add_renditions(await release.load_asset(run, asset.asset_id) or asset, packaged)
    await release.store_objects(run, asset, packaged, folder, encoded)
    return asset


async def _encode(run: Run, plan: Plan, *, with_thumbnails: bool) -> release.EncodedTracks:
    video = await picture.encode_renditions(run, plan)
    run.finish("encode")
    audio = await tracks.encode_audio(run, plan)
    run.finish("audio")
    text = await tracks.make_subtitles(run, plan)
    run.finish("subtitles")
    run.progress.start("pictures")
    thumbnails = await tracks.make_thumbnails(run, plan, video[-1]) if with_thumbnails else None
    run.finish("pictures")
    return release.EncodedTracks(video=video, audio=audio, text=text, thumbnails=thumbnails)
