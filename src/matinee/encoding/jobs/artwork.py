"""Pictures for a title that has none: a well-chosen frame of the film, cut to each shape."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from matinee.catalogue.api import Artwork, ArtworkKind, Title
from matinee.encoding.jobs.run import Run
from matinee.encoding.model.pictures import best, candidates
from matinee.encoding.model.plan import Plan
from matinee.kit.hashing import sha256_file

# Kind of picture → its shape, width over height, and its most lines.
SHAPES: dict[ArtworkKind, tuple[float, int]] = {
    "poster": (2 / 3, 900),
    "card": (16 / 9, 720),
    "backdrop": (16 / 9, 1080),
    "still": (16 / 9, 720),
}


async def illustrated(run: Run, plan: Plan, rungs: Sequence[Path]) -> None:
    """Give a title that lacks pictures some out of the film."""
    title = await run.tools.catalogue.title(title_id=run.order.title_id)
    folder = run.workspace.at("artwork")
    own, episodes = _lacking(title, run)
    if not own and not episodes:
        return
    frame = best(await run.tools.stills.looks(film=rungs[0], keyframes=candidates(len(plan.keyframes))))
    time_ms = round(frame.keyframe * plan.gop_frames / plan.source.frame_rate * 1000)
    made = {kind: await _picture(run, rungs[-1], time_ms, kind, folder) for kind in {*own, *episodes}}
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
