"""Encoding's ports by FFmpeg."""

from matinee.encoding.adapters.ffmpeg.encoder import FfmpegEncoder
from matinee.encoding.adapters.ffmpeg.prober import FfmpegProber
from matinee.encoding.adapters.ffmpeg.stills import FfmpegStills

__all__ = ["FfmpegEncoder", "FfmpegProber", "FfmpegStills"]
