"""The first steps: inspect, store, analyse; they end in the plan."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePath

import msgspec

from matinee.encoding.api import AudioStream, SideFile
from matinee.encoding.jobs.run import Run
from matinee.encoding.model.ladder import ladder
from matinee.encoding.model.plan import Plan
from matinee.encoding.model.refusals import make_no_space, make_unusable, room_needed
from matinee.encoding.model.renditions import AudioSideFile, TextSideFile, sounds, texts, warnings
from matinee.encoding.model.source import MediaSource
from matinee.encoding.ports import Blobs
from matinee.encoding.service import located
from matinee.kit.hashing import sha256_file, sha256_hex


class Digest(msgspec.Struct, frozen=True):
    """A file's name in the canonical store, and its size."""

    key: str
    size_bytes: int


async def inspect(run: Run) -> MediaSource:
    """What the master holds. Raises Unusable."""

    async def make() -> MediaSource:
        path = await located(run.tools.blobs, run.order.path, run.workspace.folder)
        return await run.tools.prober.probe(path=path, name=run.file_name)

    source = await run.once("inspect", "inspect", run.order.path, MediaSource, make)
    for warning in warnings(source):
        run.teller.warned(warning)
    return source


async def store(run: Run, path: str, *, consume: bool) -> str:
    """Put a file into the canonical store, named by its content; tells its key. Raises Unusable, NoSpace."""
    blobs, folder = run.tools.blobs, run.workspace.folder

    async def measure() -> Digest:
        return await asyncio.to_thread(_digest, await located(blobs, path, folder), PurePath(path).name)

    digest = await run.once("store", f"digest-{sha256_hex(path.encode())[:12]}", path, Digest, measure)
    if await blobs.size(key=digest.key) != digest.size_bytes:
        await _room(blobs, digest.size_bytes)
        held = "" if PurePath(path).is_absolute() else path
        await blobs.put_file(key=digest.key, path=await located(blobs, path, folder), move=consume, held=held)
    if consume and path != digest.key:
        await _drop(blobs, path)
    return digest.key


async def _drop(blobs: Blobs, path: str) -> None:
    """Remove a file that was handed over, now that its content is stored."""
    if PurePath(path).is_absolute():
        await asyncio.to_thread(Path(path).unlink, missing_ok=True)
    else:
        await blobs.delete(prefix=path)


def _digest(path: Path, name: str) -> Digest:
    try:
        return Digest(f"sources/{sha256_file(path)}{_suffix(name)}", path.stat().st_size)
    except OSError as error:
        what = f"it can no longer be read ({error.strerror})"
        raise make_unusable(name, "file", what, "Check the path and hand it in again.") from error


async def _room(blobs: Blobs, size_bytes: int) -> None:
    needed, free = room_needed(size_bytes), await blobs.free_bytes()
    if free is not None and free < needed:
        raise make_no_space("There is not enough room for the film", needed, free)


def _suffix(name: str) -> str:
    """A plain file ending, as it was."""
    suffix = PurePath(name).suffix.lower()
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= 8 else ".bin"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The order's files in the canonical store."""

    key: str
    sounds: list[AudioSideFile]
    texts: list[TextSideFile]


async def gathered(run: Run) -> Stored:
    """Put the master and its side files into the canonical store. Raises Unusable, NoSpace."""
    order = run.order
    return Stored(
        key=await store(run, order.path, consume=order.consume),
        sounds=[await _side_sound(run, file) for file in order.audio],
        texts=[
            TextSideFile(key=await store(run, file.path, consume=order.consume), language=file.language, role=file.role)
            for file in order.subtitles
        ],
    )


async def plan(run: Run, source: MediaSource, files: Stored) -> Plan:
    """Count the master's frames and decide all that is made of it. Raises Unusable."""
    source, frames = await _counted(run, source, files.key)
    video, language, tools = source.report.video, run.order.language, run.tools
    rate = source.frame_rate
    return Plan(
        source_key=files.key,
        source=source,
        frames=frames,
        rungs=ladder(video.width_px, video.height_px, rate, preset=tools.preset, max_lines=tools.max_lines),
        sounds=sounds(files.key, source, language, files.sounds),
        texts=texts(files.key, source, language, files.texts),
        chunk_s=tools.chunk_s,
    )


async def _counted(run: Run, source: MediaSource, key: str) -> tuple[MediaSource, int]:
    """The frames at the plan's rate. A master whose decoded frames are not as many does not keep its rate."""
    master = await stored(run, key)
    run.teller.began("analyse", source.report.video.frames)

    async def make() -> tuple[int, int]:
        return await run.tools.prober.count_frames(
            path=master, source=source, progress=lambda frames: run.teller.went("analyse", frames)
        )

    decoded, constant = await run.once("analyse", "frames", (key, source), tuple[int, int], make)
    if constant == 0:
        raise make_unusable(run.file_name, "picture", "not one frame of it can be decoded", "Export it again.")
    if source.constant and decoded != constant:
        run.teller.warned(f"{decoded} frames do not keep {source.rate} a second: they become {constant}")
        source = msgspec.structs.replace(source, constant=False)
    return source, constant


async def _side_sound(run: Run, file: SideFile) -> AudioSideFile:
    key = await store(run, file.path, consume=run.order.consume)

    async def make() -> list[AudioStream]:
        return await run.tools.prober.probe_audio(path=await stored(run, key), name=PurePath(file.path).name)

    streams = await run.once("store", f"sound-{sha256_hex(key.encode())[:12]}", key, list[AudioStream], make)
    return AudioSideFile(key=key, stream=streams[0], language=file.language, role=file.role)


async def stored(run: Run, key: str) -> Path:
    """A file of the canonical store, on this machine."""
    path = await run.tools.blobs.local(key=key, into=run.workspace.folder)
    if path is None:
        raise make_unusable(run.file_name, "file", "it is gone from the store", "Hand it in again.")
    return path
