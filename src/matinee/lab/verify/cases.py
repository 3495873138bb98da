"""Verifies titles of a running deployment, and ingests and verifies every file of a folder."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import msgspec

from matinee.app.clients import Clients
from matinee.app.masters import upload_masters
from matinee.catalogue.api import Asset, Catalogue, TitleDraft
from matinee.drivers.objects import ObjectStore
from matinee.drivers.process import ToolFailed
from matinee.encoding.api import Encoding, Job, Order, SideFile
from matinee.kit.clock import SystemClock
from matinee.kit.ids import EpisodeId, TitleId, generate
from matinee.kit.problem import Problem
from matinee.lab.verify.checks import Check, is_wrong
from matinee.lab.verify.verify import Output, verify
from matinee.licensing.api import Label, Licensing, choose_key_label
from matinee.mesh.hosting.settings import Settings

POLL_INTERVAL_S = 0.5
SUBTITLES = (".srt", ".vtt", ".ass", ".ssa", ".sub")
_JOBS = 200


class NotEncoded(Problem, status=404):
    """The title has not been encoded."""


class SourceUnreadable(Problem, status=422):
    """The source cannot be decoded."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file: `detail` is the reason of a refusal or failure."""

    file: str
    outcome: Literal["ok", "WRONG", "refused", "failed"]
    detail: str = ""
    title_id: TitleId | None = None
    warnings: list[str] = []
    checks: list[Check] = []


async def verify_title(
    settings: Settings, clients: Clients, title_id: TitleId, episode_id: EpisodeId | None, source: Path
) -> list[Check]:
    """Compare a title, or an episode of it, with its source. Raises TitleNotFound, NotEncoded, SourceUnreadable."""
    asset = await _find_asset(clients, title_id, episode_id)
    keys = await clients.get(Licensing).ensure_content_keys(asset_id=asset.asset_id, labels=_list_labels(asset))
    job = await _find_job(clients, title_id, episode_id)
    output = Output(
        asset=asset,
        read=ObjectStore(settings.objects.store).get,
        keys={key.key_id: key.key for key in keys},
        warnings=job.warnings if job else (),
        has_side_files=bool(job and (job.order.audio or job.order.subtitles)),
    )
    with tempfile.TemporaryDirectory(prefix="matinee-verify-") as folder:
        try:
            return await verify(output, source, Path(folder))
        except ToolFailed as failure:
            raise SourceUnreadable(detail=f"{source.name} cannot be decoded: {failure}") from failure


async def run_cases(settings: Settings, clients: Clients, folder: Path, base: Path | None) -> AsyncIterator[Case]:
    """Ingest each file of a folder and verify its title; subtitles go with the film `base`, which is `base.*` there."""
    files = sorted(path for path in await asyncio.to_thread(lambda: list(folder.iterdir())) if path.is_file())
    base = base or next((path for path in files if path.stem == "base"), None)
    for file in files:
        name = os.fsencode(file.name).decode(errors="replace")
        is_text = file.suffix.lower() in SUBTITLES
        master = base if is_text else file
        if master is None:
            yield Case(file=name, outcome="failed", detail="there is no film base.* for subtitles")
            continue
        try:
            yield await _run_case(settings, clients, name, master.absolute(), file.absolute() if is_text else None)
        except Problem as problem:
            yield Case(file=name, outcome="refused" if problem.status < 500 else "failed", detail=str(problem))
        except Exception as error:  # the other files are verified all the same
            yield Case(file=name, outcome="failed", detail=f"{type(error).__name__}: {error}")


async def _run_case(settings: Settings, clients: Clients, name: str, master: Path, side: Path | None) -> Case:
    title_id = generate(TitleId, SystemClock().now())
    subtitles = [SideFile(path=str(side), language="en")] if side else []
    order = Order(title_id=title_id, path=str(master), subtitles=subtitles, language="en", again=True, priority=10)
    encoding = clients.get(Encoding)
    async with upload_masters(settings, order) as stored:
        await encoding.inspect(path=stored.path, subtitles=stored.subtitles, again=True)
        draft = TitleDraft(title_id=title_id, kind="film", names={"en": name}, original_language="en")
        await clients.get(Catalogue).put_title(draft=draft)
        job = await _wait(encoding, await encoding.submit(order=stored))
    if job.state != "done":
        tries = "" if job.state == "failed" else " (it would be tried again)"
        detail = f"{job.reason or job.state}{tries}"
        return Case(file=name, outcome="failed", detail=detail, title_id=title_id, warnings=job.warnings)
    checks = await verify_title(settings, clients, title_id, None, master)
    outcome: Literal["ok", "WRONG"] = "WRONG" if is_wrong(checks) else "ok"
    return Case(file=name, outcome=outcome, title_id=title_id, warnings=job.warnings, checks=checks)


async def _wait(encoding: Encoding, job: Job) -> Job:
    """Wait until a job ends, or has failed once; it is then cancelled."""
    while job.state in ("queued", "running"):
        if job.state == "queued" and job.reason:
            return msgspec.structs.replace(await encoding.cancel(job_id=job.job_id), reason=job.reason)
        await asyncio.sleep(POLL_INTERVAL_S)
        job = await encoding.get_job(job_id=job.job_id)
    return job


async def _find_asset(clients: Clients, title_id: TitleId, episode_id: EpisodeId | None) -> Asset:
    title = await clients.get(Catalogue).title(title_id=title_id)
    episodes = {episode.episode_id: episode.asset_id for episode in title.episodes}
    asset_id = episodes.get(episode_id) if episode_id else title.asset_id
    if asset_id is None:
        raise NotEncoded(detail=f"{episode_id or title_id} has not been encoded.")
    return await clients.get(Catalogue).asset(asset_id=asset_id)


async def _find_job(clients: Clients, title_id: TitleId, episode_id: EpisodeId | None) -> Job | None:
    """Return the last finished job of a title, if it is one of the newest."""
    jobs = (await clients.get(Encoding).list_jobs(state="done", limit=_JOBS)).items
    return next((job for job in jobs if (job.order.title_id, job.order.episode_id) == (title_id, episode_id)), None)


def _list_labels(asset: Asset) -> tuple[Label, ...]:
    labels: set[Label] = {choose_key_label(track.height_px) for track in asset.video if track.key_id}
    if any(track.key_id for track in asset.audio):
        labels.add("AUDIO")
    return tuple(sorted(labels))
