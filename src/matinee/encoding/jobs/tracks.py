"""Audio, subtitles and thumbnails."""

from __future__ import annotations

from pathlib import Path, PurePath

from matinee.catalogue.api import TextTrack, Thumbnails
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import durable_outputs
from matinee.encoding.model.loudness import compute_gain_db
from matinee.encoding.model.pictures import plan_thumbnails
from matinee.encoding.model.plan import AudioTrackPlan, Plan, TextTrackPlan
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.model.subtitles import InvalidSubtitles, format_webvtt, shift
from matinee.encoding.service import read_subtitles


async def encode_audio(run: Run, plan: Plan) -> list[Path]:
    """Encode each audio track into one file, normalised in loudness and as long as the picture."""
    folder = run.workspace.make_subfolder("sound")
    run.progress.start("audio", len(plan.audio))
    files: list[Path] = []
    for track in plan.audio:

        async def encode(track: AudioTrackPlan = track, out: Path = folder / f"{track.track_id}.mp4") -> str:
            return await _encode_track(run, plan, track, out)

        inputs = (track, plan.frames, plan.source.rate)
        files.append(folder / await run.once("audio", track.track_id, inputs, str, encode))
        run.progress.advance("audio", len(files))
    return files


async def _encode_track(run: Run, plan: Plan, track: AudioTrackPlan, out: Path) -> str:
    master, encoder = await run.fetch(track.source_key), run.tools.encoder
    loudness = await encoder.measure_loudness(master=master, track=track)
    gain_db = compute_gain_db(loudness.integrated_lufs, loudness.true_peak_dbtp)
    async with durable_outputs(out):
        await encoder.encode_audio(
            master=master, track=track, gain_db=gain_db, duration_s=float(plan.duration_s), out=out
        )
    return out.name


async def make_subtitles(run: Run, plan: Plan) -> list[tuple[TextTrack, Path]]:
    """Write each subtitle track as a WebVTT file. A stream that cannot be read is skipped with a warning."""
    folder = run.workspace.make_subfolder("text")
    run.progress.start("subtitles", len(plan.text))
    tracks: list[tuple[TextTrack, Path]] = []
    for text in plan.text:
        file = folder / f"{text.track_id}.vtt"

        async def write(text: TextTrackPlan = text, out: Path = file) -> bool:
            return await _write_subtitles(run, plan, text, out)

        if await run.once("subtitles", text.track_id, (text, plan.frames, plan.source.rate), bool, write):
            path = f"text/{text.track_id}.vtt"
            tracks.append((TextTrack(track_id=text.track_id, language=text.language, path=path, role=text.role), file))
        run.progress.advance("subtitles", len(tracks))
    return tracks


async def _write_subtitles(run: Run, plan: Plan, text: TextTrackPlan, out: Path) -> bool:
    file, kind, shift_ms = await run.fetch(text.source_key), PurePath(text.source_key).suffix[1:].lower(), 0
    if text.stream is not None:
        extracted, kind, shift_ms = out.with_suffix(".own.vtt"), "vtt", -plan.source.start_us // 1000
        await run.tools.encoder.extract_subtitles(master=file, stream=text.stream, out=extracted)
        file = extracted
    try:
        await run.tools.executor.run(_convert_subtitles, file, kind, shift_ms, plan.duration_ms, out)
    except InvalidSubtitles as error:
        if text.stream is None:
            name, where = PurePath(text.source_key).name, f"subtitles, line {error.line}"
            raise make_unusable(name, where, error.what, "Correct that line.") from error
        run.progress.warn(f"subtitles (stream {text.stream}) are skipped: {error}")
        return False
    return True


def _convert_subtitles(source: Path, kind: str, shift_ms: int, until_ms: int, out: Path) -> None:
    """Convert a file to WebVTT. Raises InvalidSubtitles."""
    cues = shift(read_subtitles(source, kind), shift_ms)
    out.write_bytes(format_webvtt(cues, until_ms=until_ms))


async def make_thumbnails(run: Run, plan: Plan, film: Path) -> tuple[Thumbnails, Path]:
    """Make the thumbnail sheets, and return their layout and folder."""
    video = plan.source.report.video
    layout = plan_thumbnails(plan.duration_ms, video.width_px, video.height_px)

    async def make() -> int:
        folder = run.workspace.make_subfolder("thumbnails", empty=True)
        async with durable_outputs(folder):
            return await run.tools.stills.make_sheets(film=film, thumbnails=layout, into=folder)

    sheets = await run.once("pictures", "sheets", (plan.source_key, plan.source, layout), int, make)
    if sheets != layout.sheets:
        raise RuntimeError(f"{sheets} thumbnail sheets were made, {layout.sheets} were planned")
    return layout, run.workspace.folder / "thumbnails"
