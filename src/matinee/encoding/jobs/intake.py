"""The first steps, which end in the plan: inspect, store, analyse."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from math import ceil
from pathlib import Path, PurePath

import msgspec
from msgspec.structs import replace

from matinee.encoding.api import AudioStream, SideFile
from matinee.encoding.jobs.run import COPY_NAME, Run
from matinee.encoding.jobs.workspace import durable_outputs
from matinee.encoding.model.ladder import build_ladder
from matinee.encoding.model.plan import Plan
from matinee.encoding.model.refusals import check_space, make_unusable
from matinee.encoding.model.renditions import describe_rate, list_warnings, plan_audio, plan_text
from matinee.encoding.model.source import MediaSource
from matinee.encoding.ports import Blobs, MediaToolFailed
from matinee.encoding.service import locate
from matinee.kit.hashing import sha256_file, sha256_hex

# Sounds end some milliseconds after the picture in most files, because their packets have a length of their own.
_SAME_END_S, _WARNED_S = Fraction(1, 10), Fraction(1, 2)


class Digest(msgspec.Struct, frozen=True):
    """The key that a file's content has in the object store, and its size."""

    key: str
    size_bytes: int


class StoredSources(msgspec.Struct, frozen=True, kw_only=True):
    """The order's files in the object store: `key` is the master's, the paths of side files are keys."""

    key: str
    audio: list[tuple[SideFile, AudioStream]]
    text: list[SideFile]


async def inspect_master(run: Run) -> MediaSource:
    """Probe the master. Raises Unusable."""

    async def probe() -> MediaSource:
        path = await locate(run.tools.blobs, run.order.path, run.workspace.folder)
        return await run.tools.prober.probe(path=path, name=run.file_name)

    source = await run.once("inspect", "inspect", run.order.path, MediaSource, probe)
    for warning in list_warnings(source):
        run.progress.warn(warning)
    return source


async def store_sources(run: Run) -> StoredSources:
    """Put the master and its side files into the object store. Raises Unusable, NoSpace."""
    order = run.order
    return StoredSources(
        key=await _store(run, order.path),
        audio=[await _store_audio(run, file) for file in order.audio],
        text=[replace(file, path=await _store(run, file.path)) for file in order.subtitles],
    )


async def _store(run: Run, path: str) -> str:
    """Put a file into the object store under a key of its content, and return the key."""
    blobs, folder, consume = run.tools.blobs, run.workspace.folder, run.order.consume

    async def measure() -> Digest:
        return await asyncio.to_thread(_measure, await locate(blobs, path, folder), PurePath(path).name)

    digest = await run.once("store", f"digest-{sha256_hex(path.encode())[:12]}", path, Digest, measure)
    if await blobs.get_size(key=digest.key) != digest.size_bytes:
        check_space(digest.size_bytes, await blobs.get_free_bytes())
        copy_of = "" if PurePath(path).is_absolute() else path
        await blobs.put_file(key=digest.key, path=await locate(blobs, path, folder), move=consume, copy_of=copy_of)
    if consume and path != digest.key:
        await _delete(blobs, path)
    return digest.key


def _measure(path: Path, name: str) -> Digest:
    try:
        return Digest(f"sources/{sha256_file(path)}{_clean_suffix(name)}", path.stat().st_size)
    except OSError as error:
        what = f"it can no longer be read ({error.strerror})"
        raise make_unusable(name, "file", what, "Check its path and submit it again.") from error


def _clean_suffix(name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= 8 else ".bin"


async def _delete(blobs: Blobs, path: str) -> None:
    if PurePath(path).is_absolute():
        await asyncio.to_thread(Path(path).unlink, missing_ok=True)
    else:
        await blobs.delete(prefix=path)


async def _store_audio(run: Run, file: SideFile) -> tuple[SideFile, AudioStream]:
    key = await _store(run, file.path)

    async def probe() -> list[AudioStream]:
        return await run.tools.prober.probe_audio(path=await run.fetch(key), name=PurePath(file.path).name)

    streams = await run.once("store", f"sound-{sha256_hex(key.encode())[:12]}", key, list[AudioStream], probe)
    return replace(file, path=key), streams[0]


async def make_plan(run: Run, source: MediaSource, files: StoredSources) -> Plan:
    """Survey the master's frames and decide which tracks to make. Raises Unusable."""
    run.progress.start("analyse", source.report.video.frames)
    probed, source = source, await _survey(run, await _remux(run, source, files.key), files.key)
    run.progress.withdraw(describe_rate(probed))  # which only the decoded frames tell surely
    for warning in list_warnings(source):
        run.progress.warn(warning)
    video, language, tools = source.report.video, run.order.language, run.tools
    plan = Plan(
        source_key=files.key,
        source=source,
        frames=source.picture_frames + _count_held_frames(run, source),
        rungs=build_ladder(
            video.width_px, video.height_px, source.frame_rate, preset=tools.preset, max_lines=tools.max_lines
        ),
        audio=plan_audio(files.key, source, language, files.audio),
        text=plan_text(files.key, source, language, files.text),
        chunk_s=tools.chunk_s,
    )
    marks = len(source.chapters)
    if marks > 1 and (left := marks - len(plan.chapters)):
        run.progress.warn(f"{left} of {marks} chapters are left out: they are not in the film, doubled or too many")
    return plan


async def _remux(run: Run, source: MediaSource, key: str) -> MediaSource:
    """Copy a master whose container has no index or no single clock; the streams then have the copy's numbers."""
    if not source.remux:
        return source

    async def copy() -> bool:
        out = run.workspace.folder / COPY_NAME
        try:
            async with durable_outputs(out):
                await run.tools.encoder.remux(master=await run.fetch(key), source=source, out=out)
        except MediaToolFailed as failure:
            if not failure.repeats:
                raise
            return False
        return True

    if await run.once("analyse", "copied", (key, source), bool, copy):
        return source.renumber()
    run.progress.warn("the file cannot be copied into a container with an index: picture and sound may be out of step")
    return replace(source, remux=())


async def _survey(run: Run, source: MediaSource, key: str) -> MediaSource:
    """Survey the frames of the picture. Raises Unusable where there are none."""
    original, path = await run.fetch(key), await run.fetch_master(key, source)

    async def survey() -> MediaSource:
        return await run.tools.prober.survey(
            original=original,
            path=path,
            source=source,
            progress=lambda frames: run.progress.advance("analyse", frames),
        )

    surveyed = await run.once("analyse", "survey", (key, source), MediaSource, survey)
    if surveyed.picture_frames == 0:
        raise make_unusable(run.file_name, "picture", "no frame of it can be decoded", "Export it again.")
    return surveyed


def _count_held_frames(run: Run, source: MediaSource) -> int:
    """Count the frames that hold the last picture to the end of the sound, where that ends noticeably later."""
    picture_s = source.picture_frames / source.frame_rate
    longer_s = Fraction(source.sound_end_us - source.start_us, 1_000_000) - picture_s
    if longer_s <= _SAME_END_S:
        return 0
    if longer_s > _WARNED_S:
        run.progress.warn(
            f"the sound is {float(longer_s):.1f} seconds longer than the picture: the last picture is held to its end"
        )
    return ceil(longer_s * source.frame_rate)
