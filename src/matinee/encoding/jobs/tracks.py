"""Audio, subtitles and thumbnails."""

from __future__ import annotations

from pathlib import Path, PurePath

from msgspec.structs import replace

from matinee.catalogue.api import TextTrack, Thumbnails
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import durable_outputs
from matinee.encoding.model.cues import InvalidSubtitles
from matinee.encoding.model.languages import parse_language
from matinee.encoding.model.loudness import compute_gain_db
from matinee.encoding.model.pictures import plan_thumbnails
from matinee.encoding.model.plan import AudioTrackPlan, Plan, TextTrackPlan
from matinee.encoding.model.refusals import make_unusable, make_unusable_subtitles
from matinee.encoding.model.renditions import TEXT_CODECS
from matinee.encoding.model.subtitles import format_webvtt, shift
from matinee.encoding.ports import Encoder, MediaToolFailed
from matinee.encoding.service import list_notes, read_subtitles
from matinee.kit import log

_log = log.get()


async def encode_audio(run: Run, plan: Plan) -> list[tuple[AudioTrackPlan, Path]]:
    """Encode each audio track into one file, normalised in loudness and as long as the picture.

    A stream of the master that cannot be encoded is left out with a warning. Raises Unusable for a side file.
    """
    folder = run.workspace.make_subfolder("sound")
    run.progress.start("audio", len(plan.audio))
    tracks: list[tuple[AudioTrackPlan, Path]] = []
    for done, track in enumerate(plan.audio, start=1):

        async def encode(track: AudioTrackPlan = track, out: Path = folder / f"{track.track_id}.mp4") -> str:
            return await _encode_track(run, plan, track, out)

        inputs = (track, plan.frames, plan.source)
        if name := await run.once("audio", track.track_id, inputs, str, encode):
            tracks.append((track, folder / name))
        run.progress.advance("audio", done)
    return tracks


async def _encode_track(run: Run, plan: Plan, track: AudioTrackPlan, out: Path) -> str:
    """Encode a track and return the file's name, or nothing where its stream cannot be used."""
    is_own = track.source_key == plan.source_key
    master = await (run.fetch_master(track.source_key, plan.source) if is_own else run.fetch(track.source_key))
    unified = out.with_suffix(".mkv")
    where = f"sound (stream {', '.join(map(str, track.streams))})"
    try:
        if await _encode_sound(run.tools.encoder, plan, track, master, unified, out):
            run.progress.warn(f"{where} is damaged: parts of it cannot be decoded")
    except MediaToolFailed as failure:
        if not failure.repeats:
            raise
        _log.warning("encode.sound_failed", file=run.file_name, track=track.track_id, error=str(failure))
        if not is_own:
            name = PurePath(track.source_key).name
            raise make_unusable(
                name, where, "it cannot be decoded", "Export it again, as WAV for example."
            ) from failure
        run.progress.warn(f"{where} is left out: it cannot be decoded")
        return ""
    finally:
        unified.unlink(missing_ok=True)
    return out.name


async def _encode_sound(
    encoder: Encoder, plan: Plan, track: AudioTrackPlan, master: Path, unified: Path, out: Path
) -> bool:
    """Encode a sound; return whether parts of it cannot be decoded."""
    loudness = await encoder.measure_loudness(master=master, track=track)
    is_damaged = loudness.damaged
    if loudness.changes:
        await encoder.unify_sound(master=master, track=track, out=unified)
        master, track = unified, replace(track, streams=(0,))
        loudness = await encoder.measure_loudness(master=master, track=track)
    gain_db = compute_gain_db(loudness.integrated_lufs, loudness.true_peak_dbtp)
    async with durable_outputs(out):
        await encoder.encode_audio(
            master=master, track=track, gain_db=gain_db, duration_s=float(plan.duration_s), out=out
        )
    return is_damaged


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
            track = TextTrack(
                track_id=text.track_id, language=text.language, path=path, role=text.role, label=text.label
            )
            tracks.append((track, file))
        run.progress.advance("subtitles", len(tracks))
    return tracks


async def _write_subtitles(run: Run, plan: Plan, text: TextTrackPlan, out: Path) -> bool:
    """Write a track. A side file that is unusable is refused; a stream is left out with a warning."""
    name = f"subtitles (stream {text.stream})"
    try:
        if text.stream is None:
            file, kind, shift_ms = await run.fetch(text.source_key), PurePath(text.source_key).suffix[1:].lower(), 0
        else:
            file, later_ms = await _extract_subtitles(run, plan, text, text.stream, out)
            shift_ms = -plan.source.start_us // 1000 - later_ms
            kind = file.suffix[1:]
        notes = await run.tools.executor.run(
            _convert_subtitles, file, kind, text.language, shift_ms, plan.duration_ms, out
        )
    except InvalidSubtitles as error:
        if text.stream is None:
            raise make_unusable_subtitles(_name_side_file(run, text), error) from error
        run.progress.warn(f"{name} are left out: {error}")
        return False
    except MediaToolFailed as failure:
        if failure.disk_full:
            raise
        run.progress.warn(f"{name} are left out: they cannot be read")
        return False
    for note in notes if text.stream is not None else ():  # those of a side file are known since the order
        run.progress.warn(f"{name}: {note}")
    return True


def _name_side_file(run: Run, text: TextTrackPlan) -> str:
    names = [side.path for side in run.order.subtitles if parse_language(side.language) == text.language]
    return PurePath(names[-1] if names else text.source_key).name


async def _extract_subtitles(run: Run, plan: Plan, text: TextTrackPlan, stream: int, out: Path) -> tuple[Path, int]:
    """Extract a stream into a file; return that, and how many milliseconds later its cues are."""
    master = await run.fetch_master(text.source_key, plan.source)
    extracted = out.with_suffix(f".own.{TEXT_CODECS[text.codec]}")
    encoder = run.tools.encoder
    later_ms = await encoder.extract_subtitles(master=master, stream=stream, codec=text.codec, out=extracted)
    return extracted, later_ms


def _convert_subtitles(source: Path, kind: str, language: str, shift_ms: int, until_ms: int, out: Path) -> list[str]:
    """Convert a file to WebVTT, and return what a person should know about it. Raises InvalidSubtitles."""
    found = read_subtitles(source, kind, language)
    moved = replace(found, cues=shift(found.cues, shift_ms))
    notes = list_notes(moved, until_ms)
    out.write_bytes(format_webvtt(moved.cues, until_ms=until_ms))
    return notes


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
