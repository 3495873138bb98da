"""A job from its order to its asset: nine steps, each made once of named inputs."""

from __future__ import annotations

from matinee.catalogue.api import Asset
from matinee.encoding.jobs import artwork, intake, picture, release, tracks
from matinee.encoding.jobs.run import Run
from matinee.encoding.model.plan import Plan
from matinee.kit.ids import AssetId


async def run_job(run: Run) -> Asset:
    """Do what an order asks. Raises Problems that are final, and whatever else went wrong in passing."""
    plan = await _planned(run)
    asset_id = plan.asset_id(run.order.title_id, run.order.episode_id)
    asset = await release.made_before(run, asset_id) or await _made(run, plan, asset_id)
    await release.offered(run, asset)
    _ended(run, "publish")
    return asset


async def _planned(run: Run) -> Plan:
    run.teller.began("inspect")
    source = await intake.inspect(run)
    _ended(run, "inspect")
    run.teller.began("store")
    files = await intake.gathered(run)
    _ended(run, "store")
    plan = await intake.plan(run, source, files)
    _ended(run, "analyse")
    return plan


async def _made(run: Run, plan: Plan, asset_id: AssetId) -> Asset:
    parts = await _parts(run, plan)
    made, folder = await release.packaged(run, plan, asset_id, parts)
    _ended(run, "package")
    asset = release.assembled(run, plan, asset_id, made, parts)
    await artwork.illustrated(run, plan, parts.rungs)
    await release.stored_objects(run, asset, made, folder, parts)
    return asset


async def _parts(run: Run, plan: Plan) -> release.Parts:
    rungs = await picture.renditions(run, plan)
    _ended(run, "encode")
    sounds = await tracks.sounds(run, plan)
    _ended(run, "audio")
    texts = await tracks.texts(run, plan)
    _ended(run, "subtitles")
    run.teller.began("pictures")
    thumbnails, sheets = await tracks.sheets(run, plan, rungs[-1])
    _ended(run, "pictures")
    return release.Parts(rungs=rungs, sounds=sounds, texts=texts, thumbnails=thumbnails, sheets=sheets)


def _ended(run: Run, step: str) -> None:
    run.teller.ended(step, kept=step not in run.made)
