"""Artwork for a title that has none: the master's cover, or a well-chosen frame, cropped to each shape."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from matinee.catalogue.api import Artwork, ArtworkKind, Title
from matinee.encoding.jobs.run import Run
from matinee.encoding.model.pictures import choose_frame, list_candidates
from matinee.encoding.model.plan import Plan
from matinee.encoding.ports import MediaToolFailed
from matinee.kit.hashing import sha256_file

# Kind of artwork → its aspect ratio and most lines.
SHAPES: dict[ArtworkKind, tuple[float, int]] = {
    "poster": (2 / 3, 900),
    "card": (16 / 9, 720),
    "backdrop": (16 / 9, 1080),
    "still": (16 / 9, 720),
}


async def add_artwork(run: Run, plan: Plan, renditions: Sequence[Path]) -> None:
    """Add the kinds of artwork that the title and the episode lack."""
    title = await run.tools.catalogue.title(title_id=run.order.title_id)
    folder = run.workspace.make_subfolder("artwork")
    for_title, for_episode = _list_missing(title, run)
    if not for_title and not for_episode:
        return
    candidates = list_candidates(len(plan.keyframes))
    frame = choose_frame(await run.tools.stills.measure_frames(film=renditions[0], keyframes=candidates))
    time_ms = round(frame.keyframe * plan.gop_frames / plan.source.frame_rate * 1000)
    made = {}
    for kind in {*for_title, *for_episode}:
        of_cover = await _crop_cover(run, plan, kind, folder) if kind in for_title else None
        made[kind] = of_cover or await _make(run, renditions[-1], time_ms, kind, folder)
    for kinds, episode_id in ((for_title, None), (for_episode, run.order.episode_id)):
        if artwork := [made[kind] for kind in kinds]:
            await run.tools.catalogue.add_artwork(title_id=title.title_id, artwork=artwork, episode_id=episode_id)


def _list_missing(title: Title, run: Run) -> tuple[list[ArtworkKind], list[ArtworkKind]]:
    """List the kinds that the title lacks, and those that the episode lacks."""
    wanted: tuple[ArtworkKind, ...] = ("poster", "card", "backdrop")
    for_title: list[ArtworkKind] = [kind for kind in wanted if kind not in {art.kind for art in title.artwork}]
    episode = next((e for e in title.episodes if e.episode_id == run.order.episode_id), None)
    return for_title, ["still"] if episode is not None and not episode.artwork else []


async def _crop_cover(run: Run, plan: Plan, kind: ArtworkKind, folder: Path) -> Artwork | None:
    """Make artwork of the master's own cover, where it has one of this shape that can be decoded."""
    cover = plan.source.cover
    if cover is None or cover.is_upright != (SHAPES[kind][0] < 1):
        return None
    try:
        return await _make(run, await run.fetch(plan.source_key), 0, kind, folder, stream=cover.index)
    except MediaToolFailed as failure:
        if not failure.repeats:
            raise
        return None


async def _make(
    run: Run, film: Path, time_ms: int, kind: ArtworkKind, folder: Path, stream: int | None = None
) -> Artwork:
    aspect, height_px = SHAPES[kind]
    file = folder / f"{kind}.jpg"
    width, height, colour = await run.tools.stills.crop_frame(
        film=film, time_ms=time_ms, aspect=aspect, height_px=height_px, out=file, stream=stream
    )
    name = f"{await asyncio.to_thread(sha256_file, file)}.jpg"
    await run.tools.blobs.put_file(key=f"public/art/{name}", path=file)
    return Artwork(kind=kind, path=name, width_px=width, height_px=height, colour=colour)
