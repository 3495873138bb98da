"""FFmpeg filters that convert any picture to a constant rate, square pixels and progressive 8-bit BT.709."""

from __future__ import annotations

from fractions import Fraction

from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.source import MediaSource

_COLOUR = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
# Light as a display with 100 nits for white shows it, compressed above; hable keeps shadows unchanged.
_TONE_MAP = (
    "zscale=tin={transfer}:pin=bt2020:min={matrix}:t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)


def format_seconds(time_s: Fraction) -> str:
    """Format a time for FFmpeg, to the microsecond."""
    return f"{float(time_s):.6f}"


def convert_rate(source: MediaSource, start_s: Fraction) -> str:
    """Return the filter that gives frames at the constant rate, starting with the one shown at `start_s`."""
    deinterlace = "bwdif=mode=send_frame," if source.report.video.interlaced else ""
    return f"{deinterlace}fps={source.rate}:start_time={format_seconds(start_s)}:round=near"


def convert_range(source: MediaSource) -> str:
    """Return the filter from high dynamic range to standard range; empty for a picture in standard range."""
    if not source.hdr:
        return ""
    matrix = source.matrix if source.matrix.startswith("bt2020") else "bt2020nc"
    return "," + _TONE_MAP.format(transfer=source.report.video.colour_transfer, matrix=matrix)


def scale(source: MediaSource, rung: Rung) -> str:
    """Return the filter to a rung's size, in BT.709 and square pixels."""
    scaled = f"scale={rung.width_px}:{rung.height_px}:flags=bicubic:out_color_matrix=bt709:out_range=tv"
    matrix = "" if source.hdr else _assume_matrix(source)
    return f"{scaled}{matrix},format=yuv420p,setsar=1,{_COLOUR}"


def _assume_matrix(source: MediaSource) -> str:
    """Return the matrix to assume for an untagged picture: BT.601 where it is small, as players do."""
    if source.matrix != "unknown" or source.report.video.pixel_format.startswith(("gbr", "rgb", "bgr", "pal")):
        return ""
    is_large = min(source.report.video.width_px, source.report.video.height_px) > 576
    return f":in_color_matrix={'bt709' if is_large else 'bt601'}"
