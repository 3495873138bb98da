"""Copies of masters whose container has no index or no single clock, in Matroska."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from matinee.drivers.ffmpeg import input_arguments
from matinee.encoding.adapters.ffmpeg import sounds
from matinee.encoding.model.source import MediaSource, Span
from matinee.encoding.ports import MediaToolFailed

Run = Callable[[Sequence[str], Path, str], Awaitable[list[str]]]
# The step ahead at which FFmpeg takes it that a clock was restarted and not that something is missing. The second is
# for files in which no clock does: a part is missing, however long.
_DISCONTINUITY_S, _NEVER_S = 10.0, 1_000_000.0
# How a copy ends. A step in the times of sound is followed if it is longer than these: after a change, its times are
# those of the old rate from one time in the file to the next.
Outcome: TypeAlias = Literal["copied", "fails", "changes"]
_STEPS_S: dict[Outcome, float] = {"fails": 0.03, "changes": 0.15}
# The blocks have one size, because FLAC states the largest of a stream once.
_STORE = "aresample=48000:async=1:min_hard_comp={step_s},asetpts=STARTPTS+N/SR/TB,asetnsamples=4096:p=0"
_MATROSKA = ("-f", "matroska")
# Codecs whose parameters are stated once for a stream: in Matroska for AAC, in Ogg for all of its own.
_STATED_ONCE = frozenset({"aac", "vorbis", "opus", "flac", "speex", "theora"})
# Frames of a stream without a container get their times when they are decoded.
_LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-bf", "0", "-fps_mode", "passthrough")


async def remux(run: Run, master: Path, source: MediaSource, out: Path) -> None:
    """Copy the streams of a source into a file with an index and one clock. Raises MediaToolFailed."""
    if not source.parts:
        outcome = "fails" if source.raw else await _copy(run, master, None, source, out)
        if outcome != "copied":
            await _store(run, master, None, source, out, _STEPS_S[outcome])
        return
    files = [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(len(source.parts))]
    # Parameters may differ between the parts.
    codecs = [source.report.video.codec, *(sound.codec for sound in source.report.audio)]
    outcome = "copied" if _STATED_ONCE.isdisjoint(codecs) else "changes"
    for part, file in zip(source.parts, files, strict=True):
        if outcome == "copied":
            outcome = await _copy(run, master, part, source, file)
    if outcome != "copied":
        for part, file in zip(source.parts, files, strict=True):
            await _store(run, master, part, source, file, _STEPS_S[outcome])
    await _join(run, files, out)


async def _copy(run: Run, master: Path, part: Span | None, source: MediaSource, out: Path) -> Outcome:
    """Copy the streams of a part, if they can be copied; tell whether the parameters of a sound change in it."""
    # In Matroska the parameters of this codec are stated once, here in each packet.
    stated = [sound.index for sound in source.report.audio if sound.codec == "aac"]
    decoded = [argument for index in stated for argument in ("-map", f"0:{index}", "-f", "null", "-")]
    try:
        log = await run(
            [*_read(master, part, source), *_MATROSKA, out.name, *decoded], out.parent, "info" if stated else "error"
        )
    except MediaToolFailed as failure:
        if failure.disk_full:
            raise
        return "fails"  # Matroska has no name for one of them, or one is damaged
    return "changes" if sounds.is_changing(log) else "copied"


async def _store(run: Run, master: Path, part: Span | None, source: MediaSource, out: Path, step_s: float) -> None:
    """Store the streams of a part without loss, following steps in the times of sound that are longer than `step_s`."""
    picture = _LOSSLESS if source.raw or (part and source.report.video.codec in _STATED_ONCE) else ()
    store = [*picture, "-af", _STORE.format(step_s=step_s), "-c:a", "flac", "-sample_fmt", "s32"]
    for number, sound in enumerate(source.report.audio):
        store += [f"-ac:a:{number}", str(sound.channels)]
    await run([*_read(master, part, source), *store, *_MATROSKA, out.name], out.parent, "error")


def _read(master: Path, part: Span | None, source: MediaSource) -> list[str]:
    """Return the options that read a part and copy its streams."""
    # All streams in one process: each discontinuity of the clock is then corrected once, for all of them. Steps
    # up to the threshold are corrected only backwards, and each stream takes part in each correction.
    has_steps = bool(source.clock_step_s) and part is None
    threshold_s = min(_DISCONTINUITY_S, source.clock_step_s / 2) if has_steps else _NEVER_S
    read = ["-dts_delta_threshold", f"{threshold_s:.3f}", "-fflags", "+genpts", *input_arguments(master, part)]
    maps = [argument for index in source.remux for argument in ("-map", f"0:{index}")]
    return [*read, *maps, "-c", "copy", *_repair_times(source), "-max_muxing_queue_size", "9999"]


def _repair_times(source: MediaSource) -> list[str]:
    """Return the options by which frames whose time is damaged are shown when they are decoded."""
    if not source.damaged_delays_us:
        return []
    damaged = "+".join(f"lt(abs((PTS-DTS)*TB*1000000-{delay_us}),50)" for delay_us in source.damaged_delays_us)
    return ["-bsf:v", f"setts=pts='if({damaged},DTS,PTS)'"]


async def _join(run: Run, files: Sequence[Path], out: Path) -> None:
    listing = out.with_suffix(".txt")
    listing.write_text("".join(f"file {file.name}\n" for file in files))
    read = ["-f", "concat", "-i", listing.name]
    await run([*read, "-map", "0", "-c", "copy", *_MATROSKA, out.name], out.parent, "error")
    for file in (*files, listing):
        file.unlink()
