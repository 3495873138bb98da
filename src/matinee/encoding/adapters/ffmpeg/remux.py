"""Copies of masters whose container has no index or no single clock, in Matroska."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from matinee.drivers.ffmpeg import input_arguments
from matinee.encoding.adapters.ffmpeg import sounds
from matinee.encoding.model.source import MediaSource, Span
from matinee.encoding.ports import MediaToolFailed

Run = Callable[[Sequence[str], Path, str], Awaitable[list[str]]]
# The step ahead at which FFmpeg takes it that a clock was restarted and not that something is missing.
_DISCONTINUITY_S = 10.0
# After a change, the times of sound are those of the old rate from one time in the file to the next: only steps that
# are too long for that are followed. The blocks have one size, because FLAC states the largest of a stream once.
_SMOOTH = "aresample=48000:async=1:min_hard_comp=0.15,asetpts=STARTPTS+N/SR/TB,asetnsamples=4096:p=0"
_MATROSKA = ("-f", "matroska")
# Codecs whose parameters are stated once for a stream: in Matroska for AAC, in Ogg for all of its own.
_STATED_ONCE = frozenset({"aac", "vorbis", "opus", "flac", "speex", "theora"})
# Frames of a stream without a container get their times when they are decoded.
_LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-bf", "0", "-fps_mode", "passthrough")


async def remux(run: Run, master: Path, source: MediaSource, out: Path) -> None:
    """Copy the streams of a source into a file with an index and one clock. Raises MediaToolFailed."""
    if not source.parts:
        if source.raw or await _copy(run, master, None, source, out):
            await _copy(run, master, None, source, out, stores=True)
        return
    files = [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(len(source.parts))]
    # Parameters may differ between the parts.
    streams = [source.report.video.codec, *(sound.codec for sound in source.report.audio)]
    stores = not _STATED_ONCE.isdisjoint(streams)
    if not stores:
        for part, file in zip(source.parts, files, strict=True):
            stores = stores or await _copy(run, master, part, source, file)
    if stores:
        for part, file in zip(source.parts, files, strict=True):
            await _copy(run, master, part, source, file, stores=True)
    await _join(run, files, out)


async def _copy(
    run: Run, master: Path, part: Span | None, source: MediaSource, out: Path, *, stores: bool = False
) -> bool:
    """Copy the streams of a part; return whether streams must be stored without loss instead of being copied."""
    # All streams in one process: each discontinuity of the clock is then corrected once, for all of them. Steps
    # up to the threshold are corrected only backwards, and each stream takes part in each correction.
    has_steps = bool(source.clock_step_s) and part is None
    threshold_s = min(_DISCONTINUITY_S, source.clock_step_s / 2) if has_steps else _DISCONTINUITY_S
    read = ["-dts_delta_threshold", f"{threshold_s:.3f}", "-fflags", "+genpts", *input_arguments(master, part)]
    maps = [argument for index in source.remux for argument in ("-map", f"0:{index}")]
    copy = [*read, *maps, "-c", "copy", "-max_muxing_queue_size", "9999"]
    write = [*_MATROSKA, out.name]
    if stores:
        picture = _LOSSLESS if source.raw or (part and source.report.video.codec in _STATED_ONCE) else ()
        store = [*picture, "-af", _SMOOTH, "-c:a", "flac", "-sample_fmt", "s32"]
        for number, sound in enumerate(source.report.audio):
            store += [f"-ac:a:{number}", str(sound.channels)]
        await run([*copy, *store, *write], out.parent, "error")
        return False
    # In Matroska the parameters of this codec are stated once, here in each packet.
    stated = [sound.index for sound in source.report.audio if sound.codec == "aac"]
    decoded = [argument for index in stated for argument in ("-map", f"0:{index}", "-f", "null", "-")]
    try:
        log = await run([*copy, *write, *decoded], out.parent, "info" if stated else "error")
    except MediaToolFailed as failure:
        if failure.disk_full:
            raise
        return True  # Matroska has no name for one of them
    return sounds.is_changing(log)


async def _join(run: Run, files: Sequence[Path], out: Path) -> None:
    listing = out.with_suffix(".txt")
    listing.write_text("".join(f"file {file.name}\n" for file in files))
    read = ["-f", "concat", "-i", listing.name]
    await run([*read, "-map", "0", "-c", "copy", *_MATROSKA, out.name], out.parent, "error")
    for file in (*files, listing):
        file.unlink()
