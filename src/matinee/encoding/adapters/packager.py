"""Shaka Packager as `Packager`: CMAF, `cbcs`, one key a label."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree  # the packager's own output, written a moment ago

from matinee.catalogue.api import AudioTrack, SegmentRun, VideoTrack
from matinee.drivers.packager import Shaka
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import AudioTrackPlan, Plan
from matinee.encoding.ports import Packaged
from matinee.licensing.api import ContentKey

HOURS_S = 4 * 3600
_MPD = "{urn:mpeg:dash:schema:mpd:2011}"
_MANIFEST = "manifest.mpd"


class ShakaPackager:
    """Packages every rung and sound in one run, and reads back what it made."""

    def __init__(self, packager: Shaka) -> None:
        self._packager = packager

    async def package(
        self, *, plan: Plan, rungs: Sequence[Path], sounds: Sequence[Path], keys: Sequence[ContentKey], into: Path
    ) -> Packaged:
        links = [into / file.name for file in (*rungs, *sounds)]
        for link, file in zip(links, (*rungs, *sounds), strict=True):
            link.symlink_to(file)
        streams = [_video(rung, file) for rung, file in zip(plan.rungs, rungs, strict=True)]
        streams += [_audio(sound, file) for sound, file in zip(plan.sounds, sounds, strict=True)]
        await self._packager.run(streams, _flags(plan, keys), cwd=into, deadline_s=HOURS_S)
        found = _Manifest(into, {key.label: key.key_id for key in keys})
        for made in (into / _MANIFEST, *links):
            made.unlink()
        return Packaged(
            video=[found.video(rung, plan) for rung in plan.rungs],
            audio=[found.audio(sound) for sound in plan.sounds],
            files=_files(into),
        )


def _files(folder: Path) -> list[str]:
    """Everything that was made, by its name below the folder; what was packaged lies there as links."""
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def _video(rung: Rung, file: Path) -> str:
    return f"in={file.name},stream=video,{_template(rung.name)},drm_label={rung.label}"


def _audio(sound: AudioTrackPlan, file: Path) -> str:
    return f"in={file.name},stream=audio,{_template(sound.track_id)},drm_label=AUDIO"


def _template(track: str) -> str:
    return f"init_segment={track}/init.mp4,segment_template={track}/$Number$.m4s"


def _flags(plan: Plan, keys: Sequence[ContentKey]) -> list[str]:
    named = (f"label={key.label}:key_id={key.key_id}:key={key.key}" for key in keys)
    segment = plan.segment_s
    return [
        "--enable_raw_key_encryption",
        f"--keys={','.join(named)}",
        "--protection_scheme=cbcs",
        "--protection_systems=CommonSystem",
        "--clear_lead=0",
        # Of the keys, so that a repeated run makes the same bytes; in cbcs every sample begins with it anyway.
        f"--iv={hashlib.sha256(''.join(sorted(key.key for key in keys)).encode()).hexdigest()[:32]}",
        f"--segment_duration={float(segment):.9f}",
        "--generate_static_live_mpd",
        f"--mpd_output={_MANIFEST}",
    ]


class _Manifest:
    """The packager's MPD, looked up by the initialisation segment of a track."""

    def __init__(self, folder: Path, key_ids: dict[str, str]) -> None:
        self._folder = folder
        self._key_ids = key_ids
        root = ElementTree.parse(folder / _MANIFEST).getroot()  # noqa: S314  # as above
        self._tracks = {
            template.get("initialization", ""): (representation, template)
            for representation in root.iter(f"{_MPD}Representation")
            for template in representation.iter(f"{_MPD}SegmentTemplate")
        }

    def video(self, rung: Rung, plan: Plan) -> VideoTrack:
        representation, template = self._tracks[f"{rung.name}/init.mp4"]
        size_bytes = self._size(rung.name)
        average_bps = round(size_bytes * 8 / plan.duration_s)
        return VideoTrack(
            track_id=rung.name,
            codec=representation.get("codecs", ""),
            bandwidth_bps=max(int(representation.get("bandwidth", 0)), average_bps),
            timescale=int(template.get("timescale", 1)),
            init=f"{rung.name}/init.mp4",
            media=f"{rung.name}/$Number$.m4s",
            segments=_segments(template),
            key_id=self._key_ids[rung.label],
            size_bytes=size_bytes,
            width_px=rung.width_px,
            height_px=rung.height_px,
            frame_rate=plan.source.rate,
            average_bandwidth_bps=average_bps,
        )

    def audio(self, sound: AudioTrackPlan) -> AudioTrack:
        representation, template = self._tracks[f"{sound.track_id}/init.mp4"]
        return AudioTrack(
            track_id=sound.track_id,
            codec=representation.get("codecs", ""),
            bandwidth_bps=int(representation.get("bandwidth", 0)),
            timescale=int(template.get("timescale", 1)),
            init=f"{sound.track_id}/init.mp4",
            media=f"{sound.track_id}/$Number$.m4s",
            segments=_segments(template),
            key_id=self._key_ids["AUDIO"],
            size_bytes=self._size(sound.track_id),
            language=sound.language,
            channels=sound.channels,
            sample_rate_hz=int(representation.get("audioSamplingRate", 48_000)),
            role=sound.role,
        )

    def _size(self, track: str) -> int:
        return sum(file.stat().st_size for file in (self._folder / track).iterdir())


def _segments(template: ElementTree.Element) -> list[SegmentRun]:
    """The timeline's runs; a run whose start is not said begins where the last one ended."""
    runs: list[SegmentRun] = []
    at = 0
    for element in template.iter(f"{_MPD}S"):
        at = int(element.get("t", at))
        run = SegmentRun(at, int(element.get("d", 0)), int(element.get("r", 0)) + 1)
        at += run.duration * run.count
        runs.append(run)
    return runs
