"""`Packager` by Shaka Packager: CMAF, `cbcs`, one key per label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # parses only the packager's own output

from matinee.catalogue.api import AudioTrack, SegmentRun, VideoTrack
from matinee.drivers.packager import Shaka
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.model.codecs import CODECS
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import AudioTrackPlan, Plan
from matinee.encoding.ports import Packaged
from matinee.kit.hashing import sha256_hex
from matinee.licensing.api import ContentKey, Label

DEADLINE_S = 4 * 3600
_MPD = "{urn:mpeg:dash:schema:mpd:2011}"
_MANIFEST = "manifest.mpd"


class ShakaPackager:
    """Packages all tracks of a plan in one run, and describes them from the manifest that it writes."""

    def __init__(self, shaka: Shaka) -> None:
        self._shaka = shaka

    async def package(
        self, *, plan: Plan, video: Sequence[Path], audio: Sequence[Path], keys: Sequence[ContentKey], into: Path
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
        manifest = _Manifest(into, {key.label: key.key_id for key in keys})
        for path in (into / _MANIFEST, *links):
            path.unlink()
        return Packaged(
            video=[manifest.read_video(rung, plan) for rung in plan.rungs],
            audio=[manifest.read_audio(track) for track in plan.audio],
            files=manifest.list_files(),
        )


def _describe_stream(kind: str, file: Path, folder: str, label: Label) -> str:
    names = f"init_segment={folder}/init.mp4,segment_template={folder}/$Number$.m4s"
    return f"in={file.name},stream={kind},{names},drm_label={label}"


def _build_flags(plan: Plan, keys: Sequence[ContentKey]) -> list[str]:
    named = (f"label={key.label}:key_id={key.key_id}:key={key.key}" for key in keys)
    segment = plan.segment_s
    return [
        "--enable_raw_key_encryption",
        f"--keys={','.join(named)}",
        "--protection_scheme=cbcs",
        "--protection_systems=CommonSystem",
        "--clear_lead=0",
        # From the asset, so that another run gives the same bytes. In cbcs the IV is public and constant anyway.
        f"--iv={sha256_hex(keys[0].asset_id.encode())[:32]}",
        f"--segment_duration={float(segment):.9f}",
        "--generate_static_live_mpd",
        f"--mpd_output={_MANIFEST}",
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
            **track,
        )

    def read_audio(self, plan: AudioTrackPlan) -> AudioTrack:
        representation, _ = self._tracks[f"{plan.track_id}/init.mp4"]
        return AudioTrack(
            track_id=plan.track_id,
            language=plan.language,
            channels=plan.channels,
            sample_rate_hz=int(representation.get("audioSamplingRate", 48_000)),
            role=plan.role,
            **self._read_track(plan.track_id, "AUDIO"),
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
    """Read the timeline; a run without a start begins where the last one ended."""
    runs: list[SegmentRun] = []
    at = 0
    for element in template.iter(f"{_MPD}S"):
        at = int(element.get("t", at))
        run = SegmentRun(at, int(element.get("d", 0)), int(element.get("r", 0)) + 1)
        at += run.duration * run.count
        runs.append(run)
    return runs
