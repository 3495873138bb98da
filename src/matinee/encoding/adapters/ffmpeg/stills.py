"""`Stills` by FFmpeg and Pillow."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from matinee.catalogue.api import Thumbnails
from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.encoding.adapters.failures import translate_failures
from matinee.encoding.model.pictures import FrameStats
from matinee.mesh.executor.ports import Executor

DEADLINE_S = 3600
_SMALL = (160, 90)
_QUALITY = 88


class FfmpegStills:
    """Makes images from an encoded film, reading little more than its keyframes."""

    def __init__(self, ffmpeg: Ffmpeg, executor: Executor) -> None:
        self._ffmpeg = ffmpeg
        self._executor = executor

    async def make_sheets(self, *, film: Path, thumbnails: Thumbnails, into: Path) -> int:
        size = f"scale={thumbnails.width_px}:{thumbnails.height_px}:flags=area"
        tiles = f"tile={thumbnails.columns}x{thumbnails.rows}"
        filters = f"fps=1000/{thumbnails.interval_ms}:start_time=0:eof_action=pass,{size},{tiles}"
        write = ["-vf", filters, "-frames:v", str(thumbnails.sheets), "-q:v", "4", "-f", "image2", "%d.jpg"]
        await self._run(["-skip_frame", "nokey", *input_arguments(film), *write], cwd=into)
        return len(await asyncio.to_thread(os.listdir, into))

    async def measure_frames(self, *, film: Path, keyframes: Sequence[int]) -> list[FrameStats]:
        width, height = _SMALL
        chosen = "+".join(f"eq(n\\,{n})" for n in keyframes)
        filters = f"select={chosen},scale={width}:{height}:flags=area,format=rgb24"
        with tempfile.TemporaryDirectory(prefix="matinee-frames-") as folder:
            write = ["-vf", filters, "-fps_mode", "passthrough", "-f", "rawvideo", "frames"]
            await self._run(["-skip_frame", "nokey", *input_arguments(film), *write], cwd=Path(folder))
            return await self._executor.run(_measure_all, Path(folder, "frames"), list(keyframes))

    async def crop_frame(
        self, *, film: Path, time_ms: int, aspect: float, height_px: int, out: Path, stream: int | None = None
    ) -> tuple[int, int, str]:
        picture = out.with_suffix(".png")
        seek = ["-ss", f"{time_ms / 1000:.3f}"] if time_ms > 0 else []
        chosen = [] if stream is None else ["-map", f"0:{stream}"]
        write = [*chosen, "-frames:v", "1", "-update", "1", "-f", "image2", picture.name]
        await self._run([*seek, *input_arguments(film), *write], cwd=out.parent)
        return await self._executor.run(_crop_file, picture, aspect, height_px, out)

    async def _run(self, arguments: Sequence[str], *, cwd: Path) -> None:
        with translate_failures():
            await self._ffmpeg.run(arguments, cwd=cwd, deadline_s=DEADLINE_S)


def _measure_all(file: Path, keyframes: Sequence[int]) -> list[FrameStats]:
    width, height = _SMALL
    frames = np.fromfile(file, dtype=np.uint8).reshape(-1, height, width, 3).astype(np.float32) / np.float32(255)
    return [_measure(n, frame) for n, frame in zip(keyframes, frames, strict=False)]


def _measure(keyframe: int, frame: NDArray[np.float32]) -> FrameStats:
    grey = frame.mean(axis=2)
    edges = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
    return FrameStats(
        keyframe=keyframe,
        light=float(grey.mean()),
        contrast=min(1.0, float(grey.std()) * 4),
        sharpness=min(1.0, float(edges) * 8),
        colour=min(1.0, float((frame.max(axis=2) - frame.min(axis=2)).mean()) * 2),
    )


def _crop_file(picture: Path, aspect: float, height_px: int, out: Path) -> tuple[int, int, str]:
    """Crop an image, which is deleted, into a JPEG file; return its size and dominant colour."""
    with Image.open(picture) as image:
        still = _crop(image.convert("RGB"), aspect, height_px)
    picture.unlink()
    still.save(out, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
    return still.width, still.height, find_dominant_colour(still)


def _crop(picture: Image.Image, aspect: float, height_px: int) -> Image.Image:
    """Crop an image to its part of a shape with most detail."""
    width = min(picture.width, round(picture.height * aspect))
    height = min(picture.height, round(picture.width / aspect))
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    left = _find_busiest(np.abs(np.diff(grey, axis=1)).sum(axis=0), width, picture.width)
    top = _find_busiest(np.abs(np.diff(grey, axis=0)).sum(axis=1), height, picture.height)
    part = picture.crop((left, top, left + width, top + height))
    if height <= height_px:
        return part
    return part.resize((max(1, round(height_px * width / height)), height_px), Image.Resampling.LANCZOS)


def _find_busiest(detail: NDArray[np.float32], length: int, total: int) -> int:
    """Find the start of the run of a length with most detail; near the middle where detail is even."""
    spare = total - length
    if spare <= 0:
        return 0
    sums = np.concatenate(([0.0], np.cumsum(detail)))
    starts = np.arange(spare + 1)
    sums_in_run = sums[np.minimum(starts + length, len(detail))] - sums[np.minimum(starts, len(detail))]
    centred = 1 - 0.6 * np.abs(starts / spare - 0.5)
    return int(np.argmax((sums_in_run + 1) * centred))


def find_dominant_colour(picture: Image.Image) -> str:
    """Find the commonest colour, as `#rrggbb`."""
    few = picture.resize((64, 64)).quantize(6)
    counted = few.convert("RGB").getcolors() or [(1, (26, 22, 20))]
    colour = max(counted, key=lambda entry: entry[0])[1]
    return "#" + bytes(colour if isinstance(colour, tuple) else (colour,) * 3).hex()
