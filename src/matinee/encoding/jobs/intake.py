"""The first steps, which end in the plan: inspect, store, analyse."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePath

import msgspec
from msgspec.structs import replace

from matinee.encoding.api import AudioStream, SideFile
from matinee.encoding.jobs.run import Run
from matinee.encoding.model.ladder import build_ladder
from matinee.encoding.model.plan import Plan
from matinee.encoding.model.refusals import check_space, make_unusable
from matinee.encoding.model.renditions import list_warnings, plan_audio, plan_text
from matinee.encoding.model.source import MediaSource
from matinee.encoding.ports import Blobs
from matinee.encoding.service import locate
from matinee.kit.hashing import sha256_file, sha256_hex


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
    """Count the master's frames and decide which tracks to make. Raises Unusable."""
    source, frames = await _count_frames(run, source, files.key)
    video, language, tools = source.report.video, run.order.language, run.tools
    return Plan(
        source_key=files.key,
        source=source,
        frames=frames,
        rungs=build_ladder(
            video.width_px, video.height_px, source.frame_rate, preset=tools.preset, max_lines=tools.max_lines
        ),
        audio=plan_audio(files.key, source, language, files.audio),
        text=plan_text(files.key, source, language, files.text),
        chunk_s=tools.chunk_s,
    )


async def _count_frames(run: Run, source: MediaSource, key: str) -> tuple[MediaSource, int]:
    """Count the frames at the plan's rate. A master with another number of decoded frames has a varying rate."""
    master = await run.fetch(key)
    run.progress.start("analyse", source.report.video.frames)

    async def count() -> tuple[int, int]:
        return await run.tools.prober.count_frames(
            path=master, source=source, progress=lambda frames: run.progress.advance("analyse", frames)
        )

    decoded, constant = await run.once("analyse", "frames", (key, source), tuple[int, int], count)
    if constant == 0:
        raise make_unusable(run.file_name, "picture", "no frame of it can be decoded", "Export it again.")
    if source.constant and decoded != constant:
        run.progress.warn(f"{decoded} frames do not fit {source.rate} a second: they become {constant}")
        source = replace(source, constant=False)
    return source, constant
