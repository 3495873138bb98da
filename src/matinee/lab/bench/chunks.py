"""The cost of encoding a film in chunks, beside encoding the same ladder in one piece."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from matinee.encoding.model.ladder import Rung, build_ladder
from matinee.encoding.model.plan import Chunk, Plan
from matinee.encoding.ports import Encoder, Prober


class ChunkCost(msgspec.Struct, frozen=True):
    """CPU seconds of both ways, including joining and checks."""

    chunked_s: float
    one_piece_s: float
    chunks: int
    frames: int


async def compare_chunks(
    *, prober: Prober, encoder: Encoder, master: Path, folder: Path, chunk_s: int, preset: str = "veryfast"
) -> ChunkCost:
    """Encode a film both ways, one after the other. No other child process may run meanwhile."""
    plan = await _make_plan(prober, master, chunk_s, preset)
    one_piece = msgspec.structs.replace(plan, chunk_s=round(plan.duration_s) + 1)
    chunked_s = await _cpu_s(lambda: _encode(encoder, prober, plan, master, folder / "chunked"))
    one_piece_s = await _cpu_s(lambda: _encode(encoder, prober, one_piece, master, folder / "one-piece"))
    return ChunkCost(chunked_s, one_piece_s, len(plan.chunks), plan.frames)


async def _make_plan(prober: Prober, master: Path, chunk_s: int, preset: str) -> Plan:
    source = await prober.probe(path=master, name=master.name)
    _, frames = await prober.count_frames(path=master, source=source, progress=_ignore)
    video = source.report.video
    rungs = build_ladder(video.width_px, video.height_px, source.frame_rate, preset=preset)
    return Plan(source_key="", source=source, frames=frames, rungs=rungs, chunk_s=chunk_s)


async def _encode(encoder: Encoder, prober: Prober, plan: Plan, master: Path, folder: Path) -> None:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // len(plan.chunks))

    async def encode(chunk: Chunk) -> dict[Rung, Path]:
        outputs = {rung: folder / f"{rung.name}-{chunk.first}.mp4" for rung in plan.rungs}
        await encoder.encode_chunk(
            master=master, plan=plan, chunk=chunk, outputs=outputs, threads=threads, progress=_ignore
        )
        return outputs

    parts = await asyncio.gather(*map(encode, plan.chunks))
    for rung in plan.rungs:
        out = folder / f"{rung.name}.mp4"
        await encoder.join_chunks(parts=[part[rung] for part in parts], timescale=plan.timescale, out=out)
        assert (await prober.list_keyframes(path=out)) == (plan.frames, list(plan.keyframes))


async def _cpu_s(operation: Callable[[], Awaitable[None]]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    await operation()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ignore(frames: int) -> None:
    pass
