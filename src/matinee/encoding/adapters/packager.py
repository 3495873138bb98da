"""`Packager` by Shaka Packager: CMAF, `cbcs`, one key per label."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # parses only the packager's own output

from matinee.catalogue.api import AudioTrack, SegmentRun, TextSegments, TextTrack, VideoTrack
from matinee.drivers.packager import Shaka
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.model.boxes import HEAD_BYTES, complete_init, measure_first_picture
from matinee.encoding.model.codecs import CODECS
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.languages import to_iso639_2
from matinee.encoding.model.plan import AudioTrackPlan, Plan
from matinee.encoding.model.subtitles import has_vertical_cues
from matinee.encoding.model.timelines import to_runs
from matinee.encoding.ports import MediaToolFailed, Packaged
from matinee.kit import log
from matinee.kit.hashing import sha256_hex
from matinee.kit.packing import pack_sizes
from matinee.licensing.api import ContentKey, Label

DEADLINE_S = 4 * 3600
# Segments of subtitles are small: many short ones would be more objects than the picture has.
_SEGMENTS_PER_TEXT_SEGMENT = 15
_MPD = "{urn:mpeg:dash:schema:mpd:2011}"
_MANIFEST = "manifest.mpd"
_log = log.get()


class ShakaPackager:
    """Packages all tracks of a plan in one run, and describes them from the manifest that it writes."""

    def __init__(self, shaka: Shaka) -> None:
        self._shaka = shaka

    async def package(
        self,
        *,
        plan: Plan,
        video: Sequence[Path],
        audio: Sequence[Path],
        text: Sequence[tuple[TextTrack, Path]],
        keys: Sequence[ContentKey],
        into: Path,
    ) -> Packaged:
        links = [into / file.name for file in (*video, *audio)]
        for link, file in zip(links, (*video, *audio), strict=True):
            link.symlink_to(file)
        streams = [
            _describe_stream("video", file, rung.folder, rung.key_label)
            for rung, file in zip(plan.rungs, video, strict=True)
        ]
        streams += [
            _describe_stream("audio", file, track.track_id, "AUDIO")
            for track, file in zip(plan.audio, audio, strict=True)
        ]
        with translate_failures():
            await self._shaka.run(streams, _build_flags(plan, keys), cwd=into, deadline_s=DEADLINE_S)
        for folder, language in _list_folders(plan):
            _complete_init(into / folder / "init.mp4", language)
        manifest = _Manifest(into, {key.label: key.key_id for key in keys})
        packaged_video = [manifest.read_video(rung, plan) for rung in plan.rungs]
        for path in (into / _MANIFEST, *links):
            path.unlink()
        segmented = [(track.track_id, await self._package_text(plan, track, file, into)) for track, file in text]
        return Packaged(
            video=packaged_video,
            audio=[manifest.read_audio(track) for track in plan.audio],
            text={track_id: segments for track_id, segments in segmented if segments is not None},
            files=manifest.list_files(),
        )

    async def _package_text(self, plan: Plan, track: TextTrack, file: Path, into: Path) -> TextSegments | None:
        """Package subtitles in the clear; None where they can only be one file."""
        if _has_vertical_cues(file):
            return None  # the packager writes the direction wrongly
        link, folder = into / f"{track.track_id}.vtt", into / track.track_id
        link.symlink_to(file)
        names = f"init_segment={folder.name}/init.mp4,segment_template={folder.name}/$Number$.m4s"
        stream = f"in={link.name},stream=text,format=vtt+mp4,{names}"
        try:
            with translate_failures():
                flags = _build_common_flags(float(plan.segment_s) * _SEGMENTS_PER_TEXT_SEGMENT)
                await self._shaka.run([stream], flags, cwd=into, deadline_s=DEADLINE_S)
            _complete_init(folder / "init.mp4", to_iso639_2(track.language))
            return _Manifest(into, {}).read_text(folder.name)
        except MediaToolFailed as error:
            if error.disk_full:
                raise
            _log.warning("encoding.text_not_packaged", track_id=track.track_id, error=str(error))
            shutil.rmtree(folder, ignore_errors=True)
            return None
        finally:
            link.unlink()
            (into / _MANIFEST).unlink(missing_ok=True)


def _describe_stream(kind: str, file: Path, folder: str, label: Label) -> str:
    names = f"init_segment={folder}/init.mp4,segment_template={folder}/$Number$.m4s"
    return f"in={file.name},stream={kind},{names},drm_label={label}"


def _list_folders(plan: Plan) -> list[tuple[str, str]]:
    """List the folders of video and audio with their languages."""
    video = [(rung.folder, "und") for rung in plan.rungs]
    return video + [(track.track_id, to_iso639_2(track.language)) for track in plan.audio]


def _complete_init(path: Path, language: str) -> None:
    path.write_bytes(complete_init(path.read_bytes(), language))


def _has_vertical_cues(file: Path) -> bool:
    return has_vertical_cues(file.read_text())


def _build_common_flags(segment_s: float) -> list[str]:
    return [f"--segment_duration={segment_s:.9f}", "--generate_static_live_mpd", f"--mpd_output={_MANIFEST}"]


def _build_flags(plan: Plan, keys: Sequence[ContentKey]) -> list[str]:
    named = (f"label={key.label}:key_id={key.key_id}:key={key.key}" for key in keys)
    return [
        "--enable_raw_key_encryption",
        f"--keys={','.join(named)}",
        "--protection_scheme=cbcs",
        # Players get the key ids from manifests. Some request a licence for each `pssh` besides.
        "--mp4_include_pssh_in_stream=false",
        "--clear_lead=0",
        # From the asset, so that another run gives the same bytes. In cbcs the IV is public and constant anyway.
        f"--iv={sha256_hex(keys[0].asset_id.encode())[:32]}",
        *_build_common_flags(float(plan.segment_s)),
    ]


class _Manifest:
    """The manifest that the packager wrote; tracks are found by their initialisation segment."""

    def __init__(self, folder: Path, key_ids: dict[Label, str]) -> None:
        self._folder = folder
        self._key_ids = key_ids
        root = ElementTree.parse(folder / _MANIFEST).getroot()  # noqa: S314  # as at the import
        self._tracks = {
            template.get("initialization", ""): (representation, template)
            for representation in root.iter(f"{_MPD}Representation")
            for template in representation.iter(f"{_MPD}SegmentTemplate")
        }

    def read_video(self, rung: Rung, plan: Plan) -> VideoTrack:
        track = self._read_track(rung.folder, rung.key_label)
        if not track["codec"].startswith(CODECS[rung.codec].sample_entry):
            raise RuntimeError(f"{rung.track_id} was packaged as {track['codec']!r}")
        average_bps = round(track["size_bytes"] * 8 / plan.duration_s)
        track["bandwidth_bps"] = max(track["bandwidth_bps"], average_bps)
        return VideoTrack(
            track_id=rung.track_id,
            width_px=rung.width_px,
            height_px=rung.height_px,
            frame_rate=plan.source.rate,
            average_bandwidth_bps=average_bps,
            iframes=self._measure_iframes(track) if rung == plan.rungs[0] else b"",
            **track,
        )

    def _measure_iframes(self, track: dict[str, Any]) -> bytes:
        """Measure the first picture of each segment, of the smallest rendition only: it is for scrubbing."""
        sizes: list[int] = []
        for number in range(1, 1 + sum(run.count for run in track["segments"])):
            with (self._folder / track["media"].replace("$Number$", str(number))).open("rb") as file:
                sizes.append(measure_first_picture(file.read(HEAD_BYTES)))
        return pack_sizes(sizes)

    def read_audio(self, plan: AudioTrackPlan) -> AudioTrack:
        representation, _ = self._tracks[f"{plan.track_id}/init.mp4"]
        return AudioTrack(
            track_id=plan.track_id,
            language=plan.language,
            channels=plan.channels,
            sample_rate_hz=int(representation.get("audioSamplingRate", 48_000)),
            role=plan.role,
            label=plan.label,
            number=plan.number,
            **self._read_track(plan.track_id, "AUDIO"),
        )

    def read_text(self, folder: str) -> TextSegments | None:
        representation, template = self._tracks[f"{folder}/init.mp4"]
        segments = _read_segments(template)
        if not segments:
            return None
        return TextSegments(
            bandwidth_bps=max(1, int(representation.get("bandwidth", 0))),
            timescale=int(template.get("timescale", 1)),
            init=f"{folder}/init.mp4",
            media=f"{folder}/$Number$.m4s",
            segments=segments,
        )

    def _read_track(self, folder: str, key_label: Label) -> dict[str, Any]:
        representation, template = self._tracks[f"{folder}/init.mp4"]
        return {
            "codec": representation.get("codecs", ""),
            "bandwidth_bps": int(representation.get("bandwidth", 0)),
            "timescale": int(template.get("timescale", 1)),
            "init": f"{folder}/init.mp4",
            "media": f"{folder}/$Number$.m4s",
            "segments": _read_segments(template),
            "key_id": self._key_ids[key_label],
            "key_label": key_label,
            "size_bytes": sum(file.stat().st_size for file in (self._folder / folder).iterdir()),
        }

    def list_files(self) -> list[str]:
        return sorted(str(path.relative_to(self._folder)) for path in self._folder.glob("*/*"))


def _read_segments(template: ElementTree.Element) -> list[SegmentRun]:
    """Read the timeline; an element without a start begins where the last one ended, another begins a new run."""
    parts: list[tuple[int, list[int]]] = []
    end: int | None = None
    for element in template.iter(f"{_MPD}S"):
        start = int(element.get("t", end or 0))
        if start != end:
            parts.append((start, []))
        durations = [int(element.get("d", 0))] * (int(element.get("r", 0)) + 1)
        parts[-1][1].extend(durations)
        end = start + sum(durations)
    return [run for start, durations in parts for run in to_runs(start, durations)]
