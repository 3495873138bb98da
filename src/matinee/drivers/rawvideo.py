"""Encodes raw video frames and sound files into a QuickTime master by FFmpeg."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import imageio_ffmpeg

from matinee.drivers.process import ToolFailed

_COLOUR = ("-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")


def encode(
    frames: Iterable[bytes],
    target: Path,
    *,
    size: tuple[int, int],
    painted_fps: str,
    fps: int,
    sound: Sequence[tuple[str, Path]],
    filters: str = "null",
    crf: int = 12,
) -> None:
    """Encode yuv420p frames nearly losslessly, with a PCM stream for each (ISO 639-2 language, WAV file).

    Blocks until the frames end. FFmpeg uses one thread, and ends if this process does. Raises ToolFailed.
    """
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-v", "error", "-y"]
    argv += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{size[0]}x{size[1]}", "-r", painted_fps, *_COLOUR]
    argv += ["-i", "pipe:0"]
    for _, path in sound:
        argv += ["-i", str(path)]
    for n in range(len(sound) + 1):
        argv += ["-map", f"{n}:{'a' if n else 'v'}"]
    argv += ["-vf", f"fps={fps},{filters}", "-c:v", "libx264", "-preset", "ultrafast", "-crf", str(crf)]
    argv += ["-threads", "1", "-g", str(fps * 2), "-pix_fmt", "yuv420p", *_COLOUR, "-c:a", "pcm_s16le"]
    for n, (language, _) in enumerate(sound):
        argv += [f"-metadata:s:a:{n}", f"language={language}"]
    _pipe([*argv, "-f", "mov", str(target)], frames)


def _pipe(argv: list[str], frames: Iterable[bytes]) -> None:
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        assert encoder.stderr is not None
        try:
            for frame in frames:
                encoder.stdin.write(frame)
        except BrokenPipeError:
            pass  # FFmpeg's error output has the reason
        except BaseException:
            encoder.kill()
            with contextlib.suppress(BrokenPipeError):  # closing flushes the rest of a frame
                encoder.stdin.close()
            raise
        _, output = encoder.communicate()
    if encoder.returncode:
        raise ToolFailed("ffmpeg", encoder.returncode, output.decode(errors="replace").splitlines())
