"""Encoding of the picture: chunks in parallel, joined and checked against the count of frames."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from matinee.encoding.jobs.failures import is_disk_full
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import durable_outputs
from matinee.encoding.model.codecs import CODECS
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import Chunk, Plan
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.ports import MediaToolFailed, OnProgress, Prober


class RenditionMismatch(Exception):
    """A joined rendition has other frames or keyframes than planned; encoding it again may help."""


async def encode_renditions(run: Run, plan: Plan) -> list[Path]:
    """Encode each rung of a plan into one file; finished renditions and chunks are not encoded again."""
    folder = run.workspace.make_subfolder("picture")
    run.progress.start("encode", plan.frames)
    files = {rung: folder / f"{rung.folder}.{CODECS[rung.codec].container}" for rung in plan.rungs}
    missing = [
        rung for rung in plan.rungs if run.workspace.load(_name_joined(rung), _list_inputs(plan, rung), bool) is None
    ]
    if missing:
        run.worked_on.add("encode")
        await _encode_chunks(run, plan, missing, folder)
    for rung in missing:
        await _join(run, plan, rung, [_locate_chunk(folder, rung, chunk) for chunk in plan.chunks], files[rung])
    for part in folder.glob("chunk-*"):
        part.unlink()
    return list(files.values())


async def _encode_chunks(run: Run, plan: Plan, rungs: Sequence[Rung], folder: Path) -> None:
    master = await run.fetch_master(plan.source_key, plan.source)
    slots = asyncio.Semaphore(run.tools.processes)
    threads = max(1, (os.cpu_count() or 1) // min(run.tools.processes, len(plan.chunks)))
    done = dict.fromkeys(plan.chunks, 0)

    async def encode(chunk: Chunk) -> None:
        def advance(frames: int) -> None:
            done[chunk] = max(done[chunk], frames)
            run.progress.advance("encode", sum(done.values()))

        async with slots:
            await _encode_chunk(run, plan, chunk, rungs, folder, master=master, threads=threads, progress=advance)
        advance(chunk.frames)

    async with asyncio.TaskGroup() as group:
        for chunk in plan.chunks:
            group.create_task(encode(chunk))


async def _encode_chunk(
    run: Run,
    plan: Plan,
    chunk: Chunk,
    rungs: Sequence[Rung],
    folder: Path,
    *,
    master: Path,
    threads: int,
    progress: OnProgress,
) -> None:
    """Encode those rungs of a chunk that no earlier attempt has encoded, in one decode."""
    files = {rung: _locate_chunk(folder, rung, chunk) for rung in rungs}
    outputs = {
        rung: file
        for rung, file in files.items()
        if not run.workspace.load(_name_chunk(rung, chunk), plan.build_chunk_key(rung, chunk), bool)
        or not file.is_file()
    }
    if outputs:
        async with durable_outputs(*outputs.values()):
            await run.tools.encoder.encode_chunk(
                master=master, plan=plan, chunk=chunk, outputs=outputs, threads=threads, progress=progress
            )
    for rung in outputs:
        run.workspace.save(_name_chunk(rung, chunk), plan.build_chunk_key(rung, chunk), True)


async def _join(run: Run, plan: Plan, rung: Rung, parts: list[Path], out: Path) -> None:
    try:
        async with durable_outputs(out):
            await run.tools.encoder.join_chunks(parts=parts, timescale=plan.timescale, out=out)
            await _check_frames(run.tools.prober, plan, out)
    except (RenditionMismatch, MediaToolFailed) as error:
        if not is_disk_full(error):  # a chunk may be damaged
            run.workspace.forget(f"chunk-{rung.track_id}-*")
            _refuse_repeated(run, plan, rung, error)
        raise
    run.workspace.save(_name_joined(rung), _list_inputs(plan, rung), True)


def _refuse_repeated(run: Run, plan: Plan, rung: Rung, error: Exception) -> None:
    """Raise Unusable when a rendition failed in the same way before: encoding it once more cannot help."""
    name, inputs = f"failed-{rung.track_id}", (_list_inputs(plan, rung), str(error))
    if run.workspace.load(name, inputs, bool):
        what = "its frames do not come out as they were counted"
        raise make_unusable(run.file_name, "picture", what, "Export it again as MP4, MOV or MKV.") from error
    run.workspace.save(name, inputs, True)


async def _check_frames(prober: Prober, plan: Plan, file: Path) -> None:
    frames, keyframes = await prober.list_keyframes(path=file)
    if frames != plan.frames:
        raise RenditionMismatch(f"{file.name} has {frames} frames after joining, the film has {plan.frames}")
    if keyframes != list(plan.keyframes):
        raise RenditionMismatch(f"{file.name} has its keyframes in other places than planned")


def _list_inputs(plan: Plan, rung: Rung) -> object:
    return [plan.build_chunk_key(rung, chunk) for chunk in plan.chunks]


def _name_joined(rung: Rung) -> str:
    return f"joined-{rung.track_id}"


def _name_chunk(rung: Rung, chunk: Chunk) -> str:
    return f"chunk-{rung.track_id}-{chunk.first:08}"


def _locate_chunk(folder: Path, rung: Rung, chunk: Chunk) -> Path:
    return folder / f"{_name_chunk(rung, chunk)}.{CODECS[rung.codec].container}"
