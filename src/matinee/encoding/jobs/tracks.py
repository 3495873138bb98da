"""AudioTrackPlan, subtitles and thumbnails."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePath

from matinee.catalogue.api import TextTrack, Thumbnails
from matinee.encoding.jobs.intake import stored
from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import whole
from matinee.encoding.model.loudness import gain_db
from matinee.encoding.model.pictures import thumbnails
from matinee.encoding.model.plan import AudioTrackPlan, Plan, Text
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.model.subtitles import BrokenSubtitles, parse, shifted, webvtt


async def sounds(run: Run, plan: Plan) -> list[Path]:
    """Every audio rendition as one file, in the plan's order, as loud as all others and as long as the picture."""
    folder = run.workspace.at("sound")
    run.teller.began("audio", len(plan.sounds))
    files: list[Path] = []
    for sound in plan.sounds:
        name = f"{sound.track_id}.mp4"

        async def make(sound: AudioTrackPlan = sound, out: Path = folder / name) -> str:
            return await _sound(run, plan, sound, out)

        inputs = (sound, plan.frames, plan.source.rate)
        files.append(folder / await run.once("audio", sound.track_id, inputs, str, make))
        run.teller.went("audio", len(files))
    return files


async def _sound(run: Run, plan: Plan, sound: AudioTrackPlan, out: Path) -> str:
    master, encoder = await stored(run, sound.source_key), run.tools.encoder
    loudness = await encoder.measure_loudness(master=master, sound=sound)
    gain = gain_db(loudness.integrated_lufs, loudness.true_peak_dbtp)
    async with whole(out):
        await encoder.encode_audio(master=master, sound=sound, gain_db=gain, duration_s=float(plan.duration_s), out=out)
    return out.name


async def texts(run: Run, plan: Plan) -> list[tuple[TextTrack, Path]]:
    """Every subtitle track as one WebVTT file. A stream that cannot be read is left out with a warning."""
    folder = run.workspace.at("text")
    run.teller.began("subtitles", len(plan.texts))
    made: list[tuple[TextTrack, Path]] = []
    for text in plan.texts:
        file = folder / f"{text.track_id}.vtt"

        async def make(text: Text = text, out: Path = file) -> bool:
            return await _text(run, plan, text, out)

        if await run.once("subtitles", text.track_id, (text, plan.frames, plan.source.rate), bool, make):
            made.append((_track(text), file))
        run.teller.went("subtitles", len(made))
    return made


async def _text(run: Run, plan: Plan, text: Text, out: Path) -> bool:
    try:
        if text.stream is None:
            cues = parse(await asyncio.to_thread(_read, await stored(run, text.source_key)), _kind(text.source_key))
        else:
            own = out.with_suffix(".own.vtt")
            await run.tools.encoder.extract_subtitles(
                master=await stored(run, text.source_key), stream=text.stream, out=own
            )
            cues = shifted(parse(await asyncio.to_thread(_read, own), "vtt"), -plan.source.start_us // 1000)
    except BrokenSubtitles as error:
        if text.stream is None:
            raise make_unusable(
                PurePath(text.source_key).name, f"subtitles, line {error.line}", error.what, "Mend it."
            ) from error
        run.teller.warned(f"subtitles (stream {text.stream}) are left out: {error}")
        return False
    await asyncio.to_thread(out.write_bytes, webvtt(cues, until_ms=plan.duration_ms))
    return True


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _kind(name: str) -> str:
    return PurePath(name).suffix[1:].lower()


def _track(text: Text) -> TextTrack:
    role = text.role if text.role in ("caption", "forced") else "subtitle"
    return TextTrack(
        track_id=text.track_id,
        language=text.language,
        path=f"text/{text.track_id}.vtt",
        role=role,  # type: ignore[arg-type]  # one of the three, as the line above says
    )


async def sheets(run: Run, plan: Plan, film: Path) -> tuple[Thumbnails, Path]:
    """The sheets of thumbnails, and the folder that they are in."""
    video = plan.source.report.video
    planned = thumbnails(plan.duration_ms, video.width_px, video.height_px)

    async def make() -> int:
        folder = run.workspace.emptied("thumbnails")
        async with whole(folder):
            return await run.tools.stills.sheets(film=film, thumbnails=planned, into=folder)

    made = await run.once("pictures", "sheets", (plan, planned), int, make)
    if made != planned.sheets:
        raise RuntimeError(f"{made} sheets of thumbnails were made, {planned.sheets} were planned")
    return planned, run.workspace.folder / "thumbnails"
