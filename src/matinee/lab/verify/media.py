"""Decodes a file into what can be compared: small grey pictures and mono sound, all on the clock of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.drivers.process import ToolFailed

Floats: TypeAlias = NDArray[np.float32]
DEADLINE_S = 3600.0
SAMPLE_RATE_HZ = 8000
_GAP_S = 0.012
_LONGEST_DELAY_S = 0.5
THUMB_PX = 32, 18
PATCHES_PX = 64, 36
_ALPHA = "format=gbrap,premultiply=inplace=1,format=gbrp,"
_SHOW = ("-show_streams", "-show_format", "-show_programs", "-show_chapters")


# How times are read: as they are; from the start, joining recordings whose clocks differ; from the start, with gaps.
Clock: TypeAlias = Literal["whole", "restarting", "gapped"]
_CLOCKS: dict[Clock, list[str]] = {
    "whole": ["-copyts"],
    "restarting": [],
    "gapped": ["-dts_delta_threshold", "1000000"],
}


class Fit(NamedTuple):
    """The size into which a picture that changes its size is fitted, and the shapes of pixels by the sizes it has."""

    width: int
    height: int
    shapes: Mapping[tuple[int, int], Fraction]


class Pictures(msgspec.Struct, frozen=True):
    """The times of a stream's pictures in seconds, and the pictures as normalised grey thumbnails."""

    times_s: NDArray[np.float64]
    thumbs: Floats

    @property
    def frame_s(self) -> float:
        """The usual time between two pictures."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.04

    def cut(self, length_s: float) -> Pictures:
        """Return the pictures of the first seconds."""
        count = int(np.searchsorted(self.times_s, self.times_s[0] + length_s - self.frame_s / 2))
        return Pictures(self.times_s[:count], self.thumbs[:count])

    def undelay(self, stream: dict[str, Any]) -> Pictures:
        """Return the pictures without the time for which a decoder holds them back to put them in order.

        That is how FFmpeg shows pictures without times of presentation; the stream begins earlier.
        """
        delay_s = float(self.times_s[0]) - float(stream.get("start_time") or self.times_s[0])
        return Pictures(self.times_s - delay_s, self.thumbs) if 0 < delay_s < _LONGEST_DELAY_S else self

    @property
    def end_s(self) -> float:
        """When the last picture ends."""
        return float(self.times_s[-1]) + self.frame_s


class Sound(msgspec.Struct, frozen=True):
    """Mono samples, and the time of the first."""

    start_s: float
    samples: Floats

    @property
    def end_s(self) -> float:
        """When the last sample ends."""
        return self.start_s + len(self.samples) / SAMPLE_RATE_HZ


class Media(msgspec.Struct, frozen=True):
    """The decoded streams of a file by their indexes; those without any picture or sample are missing."""

    pictures: dict[int, Pictures]
    sounds: dict[int, Sound]


def join(parts: Sequence[Media]) -> Media:
    """Return the media of recordings as if they followed one another: each begins where the one before has ended."""
    joined = Media({}, {})
    start_s = 0.0
    for part in parts:
        ends_s = [one.end_s for one in part.pictures.values()] + [one.end_s for one in part.sounds.values()]
        for index, pictures in part.pictures.items():
            before = joined.pictures.get(index, Pictures(np.empty(0), pictures.thumbs[:0]))
            times_s = np.concatenate([before.times_s, pictures.times_s + start_s])
            joined.pictures[index] = Pictures(times_s, np.concatenate([before.thumbs, pictures.thumbs]))
        for index, sound in part.sounds.items():
            earlier = joined.sounds.get(index, Sound(sound.start_s + start_s, sound.samples[:0]))
            gap = round((sound.start_s + start_s - earlier.end_s) * SAMPLE_RATE_HZ)
            pieces = [earlier.samples, np.zeros(max(0, gap), np.float32), sound.samples]
            joined.sounds[index] = Sound(earlier.start_s, np.concatenate(pieces))
        start_s += max(ends_s, default=0.0)
    return joined


class MediaReader:
    """Decodes files in a working folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ffmpeg = Ffmpeg(nice=0)

    async def probe(self, file: Path) -> dict[str, Any]:
        """Return what ffprobe shows of a file. Raises ToolFailed."""
        return await self._ffmpeg.probe(file, _SHOW, deadline_s=DEADLINE_S)

    async def run(self, arguments: Sequence[str], *, level: str = "error") -> list[str]:
        """Run FFmpeg in the folder and return its log. Raises ToolFailed."""
        return await self._ffmpeg.run(arguments, cwd=self._folder, deadline_s=DEADLINE_S, level=level)

    def read(self, name: str) -> bytes:
        """Return a file of the folder."""
        return (self._folder / name).read_bytes()

    def write(self, name: str, parts: Sequence[bytes]) -> Path:
        """Write a file of the folder."""
        (self._folder / name).write_bytes(b"".join(parts))
        return self._folder / name

    async def decode(
        self,
        file: Path,
        streams: Sequence[dict[str, Any]],
        clock: Clock = "whole",
        *,
        key: str = "",
        part: tuple[int, int] | None = None,
        fit: Fit | None = None,
    ) -> Media:
        """Decode streams in one process, so that they keep the one clock of the file. Raises ToolFailed.

        `part` are bytes of the file. A picture that changes its size is fitted into the size `fit`.
        """
        videos = [stream for stream in streams if stream["codec_type"] == "video"]
        options = [option for stream in videos for option in choose_options(stream)]
        arguments = [*_decrypt(key), *_CLOCKS[clock], *options, *input_arguments(file, part)]
        for stream in streams:
            arguments += _describe_output(stream, fit)
        await self.run(arguments)
        media = Media({}, {})
        for stream in streams:
            index, is_video = stream["index"], stream["codec_type"] == "video"
            rows = [line.split() for line in (self._folder / f"{index}.times").read_text().splitlines()]
            data = (self._folder / f"{index}.raw").read_bytes()
            if rows and is_video:
                media.pictures[index] = _read_pictures(rows, data).undelay(stream)
            elif rows:
                media.sounds[index] = _read_sound(rows, data)
        return media

    async def read_shapes(self, file: Path, index: int) -> dict[tuple[int, int], Fraction] | None:
        """Return the shape of pixels by the size of frames; None where frames of one size have several."""
        entries = "frame=width,height,sample_aspect_ratio"
        show = ("-select_streams", str(index), "-show_entries", entries)
        rows, _ = await self._ffmpeg.probe_rows(file, show, deadline_s=DEADLINE_S)
        shapes: dict[tuple[int, int], set[Fraction]] = {}
        for width, height, shape, *_ in (row for row in rows if len(row) >= 3 and row[0].isdigit()):
            numerator, _, denominator = shape.partition(":")
            known = denominator.isdigit() and int(denominator) and int(numerator)
            found = Fraction(int(numerator), int(denominator)) if known else Fraction(1)
            shapes.setdefault((int(width), int(height)), set()).add(found)
        if any(len(several) > 1 for several in shapes.values()):
            return None
        return {size: next(iter(one)) for size, one in shapes.items()}

    async def read_patches(
        self,
        file: Path,
        index: int,
        frames: Sequence[int],
        convert: str,
        *,
        key: str = "",
        options: Sequence[str] = (),
    ) -> NDArray[np.float64] | None:
        """Return the patches (frame, row, column, colour) of frames in RGB, or None where they cannot be converted."""
        chosen = "+".join(f"eq(n\\,{frame})" for frame in frames)
        width, height = PATCHES_PX
        graph = f"select={chosen},{convert},scale={width}:{height}:flags=area,format=rgb24"
        write = ["-map", f"0:{index}", "-vf", graph, "-fps_mode", "passthrough", "-f", "rawvideo", "patches.raw"]
        try:
            await self.run([*_decrypt(key), *options, *input_arguments(file), *write])
        except ToolFailed:
            return None
        values = np.frombuffer((self._folder / "patches.raw").read_bytes(), np.uint8)
        if len(values) != len(frames) * width * height * 3:
            return None
        return values.reshape(len(frames), height, width, 3).astype(np.float64)


def choose_options(stream: dict[str, Any]) -> list[str]:
    """Choose the options by which FFmpeg decodes a picture with its alpha channel, and not turned by odd angles."""
    decoders = {"vp8": "libvpx", "vp9": "libvpx-vp9"} if _has_hidden_alpha(stream) else {}
    decoder = decoders.get(str(stream.get("codec_name")), "")
    return [
        *([f"-c:{stream['index']}", decoder] if decoder else []),
        *(["-noautorotate"] if _read_angle(stream) % 90 else []),
    ]


def has_alpha(stream: dict[str, Any]) -> bool:
    """Return whether a picture has transparency."""
    kinds = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya")
    return str(stream.get("pix_fmt", "")).startswith(kinds) or _has_hidden_alpha(stream)


def read_turn(stream: dict[str, Any]) -> int:
    """Read by how many degrees a picture is turned: a multiple of 90, the nearest to an odd angle."""
    return round(_read_angle(stream) / 90) * 90 % 360


def prepare(stream: dict[str, Any], fit: Fit | None = None) -> str:
    """Return the filters that turn a picture, fit what changes into one size and show it on black."""
    odd = {90: "transpose=cclock,", 180: "hflip,vflip,", 270: "transpose=clock,"} if _read_angle(stream) % 90 else {}
    fitted = ""
    if fit:
        width, height = fit.width, fit.height
        # FFmpeg has one shape for all frames of a stream: the first.
        cases = [f"eq(in_w,{w})*eq(in_h,{h})*{float(shape - 1):.6f}" for (w, h), shape in fit.shapes.items()]
        scale = f"scale='in_w*(1+{'+'.join(cases)})':in_h:eval=frame,setsar=1"
        shrink = f"scale={width}:{height}:force_original_aspect_ratio=decrease:eval=frame,setsar=1"
        fitted = f"{scale},{shrink},pad={width}:{height}:-1:-1:eval=frame,"
    return odd.get(read_turn(stream), "") + fitted + (_ALPHA if has_alpha(stream) else "")


def _read_angle(stream: dict[str, Any]) -> int:
    angles = [int(data["rotation"]) for data in stream.get("side_data_list", []) if "rotation" in data]
    return angles[0] % 360 if angles else 0


def _has_hidden_alpha(stream: dict[str, Any]) -> bool:
    return any(name.lower() == "alpha_mode" for name in stream.get("tags", {}))


def _decrypt(key: str) -> list[str]:
    return ["-decryption_key", key] if key else []


def _describe_output(stream: dict[str, Any], fit: Fit | None) -> list[str]:
    index, is_video = stream["index"], stream["codec_type"] == "video"
    stats = ["-stats_enc_pre", f"{index}.times", "-stats_enc_pre_fmt"]
    if is_video:
        width, height = THUMB_PX
        # Grey needs no matrix, and one that does not fit the pixels would be refused.
        matrix = "setparams=colorspace=unknown," if str(stream.get("pix_fmt", "")).startswith("yuv4") else ""
        graph = f"{matrix}{prepare(stream, fit)}scale={width}:{height}:flags=area,format=gray"
        write = ["-vf", graph, "-fps_mode", "passthrough", "-enc_time_base", "demux", *stats, "{pts} {tb}"]
        return ["-map", f"0:{index}", *write, "-f", "rawvideo", f"{index}.raw"]
    graph = f"aresample={SAMPLE_RATE_HZ},aformat=sample_fmts=flt:channel_layouts=mono"
    return ["-map", f"0:{index}", "-af", graph, *stats, "{pts} {tb} {samp}", "-f", "f32le", f"{index}.raw"]


def _read_pictures(rows: Sequence[Sequence[str]], data: bytes) -> Pictures:
    width, height = THUMB_PX
    count = min(len(rows), len(data) // (width * height))
    pixels = np.frombuffer(data[: count * width * height], np.uint8).reshape(count, -1).astype(np.float32)
    # Brightness and contrast are compared as colours; here they would only hide the movement.
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= pixels.std(axis=1, keepdims=True) + 3
    return Pictures(np.array([_to_seconds(row) for row in rows[:count]]), pixels)


def _read_sound(rows: Sequence[Sequence[str]], data: bytes) -> Sound:
    """Place the samples at their times, so that gaps are kept; small errors of timestamps make no gap."""
    samples = np.frombuffer(data, np.float32)
    runs = _join_runs([_to_seconds(row) for row in rows], [int(row[2]) for row in rows])
    first = min(start for start, _ in runs)
    places = [round((start - first) * SAMPLE_RATE_HZ) for start, _ in runs]
    placed, at = np.zeros(max(place + count for place, (_, count) in zip(places, runs, strict=True)), np.float32), 0
    for place, (_, count) in zip(places, runs, strict=True):
        part = samples[at : at + count]
        placed[place : place + len(part)] = part
        at += count
    return Sound(first, placed)


def _join_runs(starts: Sequence[float], counts: Sequence[int]) -> list[tuple[float, int]]:
    """Join frames that follow one another; return the time and length of each run."""
    runs: list[tuple[list[float], int]] = []
    for start, count in zip(starts, counts, strict=True):
        # The times that the run began at, as each of its frames says.
        if runs and abs(start - runs[-1][1] / SAMPLE_RATE_HZ - float(np.median(runs[-1][0][-50:]))) < _GAP_S:
            begins, length = runs[-1]
            begins.append(start - length / SAMPLE_RATE_HZ)
            runs[-1] = begins, length + count
        else:
            runs.append(([start], count))
    return [(float(np.median(begins)), length) for begins, length in runs]


def _to_seconds(row: Sequence[str]) -> float:
    return float(int(row[0]) * Fraction(row[1]))
