"""CPU time of encoding a film in chunks, beside encoding it in one piece; including joining and checks."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path

import msgspec

from matinee.drivers.ffmpeg import Ffmpeg
from matinee.encoding.adapters.ffmpeg import FfmpegEncoder, FfmpegProber
from matinee.encoding.model.ladder import Rung, build_ladder
from matinee.encoding.model.plan import Chunk, Plan
from matinee.lab.bench.harness import Bench, time_in_turns
from matinee.lab.deployment import make_film

GOAL = 1.15


async def measure(bench: Bench) -> None:
    """Measure with a test picture of 720p. No other child process may run meanwhile."""
    seconds, chunk_s = bench.size(80, 4), bench.size(40, 2)
    lines = bench.size(720, 180)
    master = make_film(bench.folder / "film.mp4", seconds=seconds, size=f"{lines * 16 // 9}x{lines}")
    plan = await _make_plan(master, chunk_s)
    whole = msgspec.structs.replace(plan, chunk_s=seconds + 1)
    one_piece, chunked = await time_in_turns(
        {"one piece": lambda _: _encode(whole, master), "chunks": lambda _: _encode(plan, master)},
        count=1,
        rounds=1,
        warm_up=False,
        clock=_read_children_cpu_s,
    )
    name = f"{seconds} s of {lines}p in {len(plan.chunks)} chunks"
    bench.report(name, chunked, "CPU s", baseline=one_piece, max_ratio=GOAL)


async def _make_plan(master: Path, chunk_s: int) -> Plan:
    prober = FfmpegProber(Ffmpeg())
    source = await prober.probe(path=master, name=master.name)
    source = await prober.survey(original=master, path=master, source=source, progress=_ignore)
    video = source.report.video
    rungs = build_ladder(video.width_px, video.height_px, source.frame_rate, preset="veryfast")
    return Plan(source_key="", source=source, frames=source.picture_frames, rungs=rungs, chunk_s=chunk_s)


async def _encode(plan: Plan, master: Path) -> None:
    prober, encoder = FfmpegProber(Ffmpeg()), FfmpegEncoder(Ffmpeg())
    threads = max(1, (os.cpu_count() or 1) // len(plan.chunks))

    async def encode(chunk: Chunk) -> dict[Rung, Path]:
        outputs = {rung: master.with_name(f"{rung.name}-{chunk.first}.mp4") for rung in plan.rungs}
        await encoder.encode_chunk(
            master=master, plan=plan, chunk=chunk, outputs=outputs, threads=threads, progress=_ignore
        )
        return outputs

    parts = await asyncio.gather(*map(encode, plan.chunks))
    for rung in plan.rungs:
        out = master.with_name(f"{rung.name}.mp4")
        await encoder.join_chunks(parts=[part[rung] for part in parts], timescale=plan.timescale, out=out)
        assert (await prober.list_keyframes(path=out)) == (plan.frames, list(plan.keyframes))


def _read_children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _ignore(frames: int) -> None:
    pass
