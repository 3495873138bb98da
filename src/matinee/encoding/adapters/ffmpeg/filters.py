"""The filters that bring any picture to one constant rate, square pixels, progressive 8-bit BT.709."""

from __future__ import annotations

from fractions import Fraction

from matinee.encoding.api import VideoStream
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.source import MediaSource

_COLOUR = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
# Light as the display would have shown it at 100 nits for white, rolled off above: hable keeps shadows as they are.
_TONE_MAP = (
    "zscale=tin={transfer}:pin=bt2020:min={matrix}:t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)


def seconds(time_s: Fraction) -> str:
    """A time as FFmpeg takes it, to the microsecond."""
    return f"{float(time_s):.6f}"


def constant_rate(source: MediaSource, start_s: Fraction) -> str:
    """Frames at the constant rate, the first being the one that is shown at `start_s`."""
    woven = "bwdif=mode=send_frame," if source.report.video.interlaced else ""
    return f"{woven}fps={source.rate}:start_time={seconds(start_s)}:round=near"


def standard_range(source: MediaSource) -> str:
    """High dynamic range brought into standard range; nothing for a picture that is there already."""
    if not source.hdr:
        return ""
    matrix = source.matrix if source.matrix.startswith("bt2020") else "bt2020nc"
    return "," + _TONE_MAP.format(transfer=source.report.video.colour_transfer, matrix=matrix)


def sized(source: MediaSource, rung: Rung) -> str:
    """A picture of a rung's size, in BT.709 and square pixels."""
    scale = f"scale={rung.width_px}:{rung.height_px}:flags=bicubic:out_color_matrix=bt709:out_range=tv"
    told = "" if source.hdr else _told_matrix(source)
    return f"{scale}{told},format=yuv420p,setsar=1,{_COLOUR}"


def _told_matrix(source: MediaSource) -> str:
    """What an untagged picture must be taken for: BT.601 where it is small, as players do."""
    if source.matrix != "unknown" or source.report.video.pixel_format.startswith(("gbr", "rgb", "bgr", "pal")):
        return ""
    return f":in_color_matrix={'bt709' if _is_large(source.report.video) else 'bt601'}"


def _is_large(video: VideoStream) -> bool:
    return min(video.width_px, video.height_px) > 576
