"""Encode: chunks side by side, joined and held against what was counted."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from matinee.drivers.process import ToolFailed
from matinee.encoding.jobs.intake import stored
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.verdict import is_full
from matinee.encoding.jobs.workspace import whole
from matinee.encoding.model.plan import Chunk, Plan
from matinee.encoding.ports import Prober


class NotExact(Exception):
    """What was joined is not what was counted; encoding it again may help."""


async def renditions(run: Run, plan: Plan) -> list[Path]:
    """Every rung as one file, in the ladder's order; finished chunks are not encoded again."""
    folder = run.workspace.at("picture")

    async def make() -> list[str]:
        parts = await _chunks(run, plan, folder)
        try:
            return await _joined(run, plan, folder, parts)
        except (NotExact, ToolFailed) as error:
            if not is_full(error):  # the fault may lie in a chunk
                run.workspace.forget("chunk-*")
            raise

    run.teller.began("encode", plan.frames)
    names = await run.once("encode", "joined", plan, list[str], make)
    for part in folder.glob("*-?????.mp4"):
        part.unlink()
    return [folder / name for name in names]


async def _chunks(run: Run, plan: Plan, folder: Path) -> list[list[Path]]:
    master = await stored(run, plan.source_key)
    free = asyncio.Semaphore(run.tools.processes)
    threads = max(1, (os.cpu_count() or 1) // min(run.tools.processes, len(plan.chunks)))
    done = [0] * len(plan.chunks)

    async def one(chunk: Chunk) -> list[Path]:
        def went(frames: int) -> None:
            done[chunk.index] = max(done[chunk.index], frames)
            run.teller.went("encode", sum(done))

        async def make() -> list[str]:
            made = (folder / f"{rung.name}-{chunk.index:05}.mp4" for rung in plan.rungs)
            async with free, whole(*made):
                files = await run.tools.encoder.encode_chunk(
                    master=master, plan=plan, chunk=chunk, into=folder, threads=threads, progress=went
                )
            return [file.name for file in files]

        names = await run.once("encode", f"chunk-{chunk.index:05}", (plan, chunk), list[str], make)
        went(chunk.frames)
        return [folder / name for name in names]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(chunk)) for chunk in plan.chunks]
    return [task.result() for task in tasks]


async def _joined(run: Run, plan: Plan, folder: Path, parts: list[list[Path]]) -> list[str]:
    names = []
    for n, rung in enumerate(plan.rungs):
        out = folder / f"{rung.name}.mp4"
        async with whole(out):
            await run.tools.encoder.join_chunks(parts=[part[n] for part in parts], timescale=plan.timescale, out=out)
            await _exact(run.tools.prober, plan, out)
        names.append(out.name)
    return names


async def _exact(prober: Prober, plan: Plan, file: Path) -> None:
    """Hold a joined rung against the count and the keyframe list. Raises NotExact."""
    frames, keyframes = await prober.list_keyframes(path=file)
    if frames != plan.frames:
        raise NotExact(f"{file.name} holds {frames} frames after joining, the film has {plan.frames}")
    if keyframes != list(plan.keyframes):
        raise NotExact(f"{file.name} has its keyframes in other places than were planned")
