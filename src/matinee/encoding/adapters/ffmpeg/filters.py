"""FFmpeg filters that convert any picture to a constant rate, square pixels and progressive 8-bit BT.709."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from matinee.encoding.adapters.ffmpeg.reading import is_rgb
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.source import MediaSource

_COLOUR = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
# The white of texts and paper in high dynamic range (ITU-R BT.2408 §2.2).
_WHITE_NITS = 203
# Light up to seven tenths of that white is unchanged, brighter light is compressed into what is left.
_TONE_MAP = (
    "zscale=tin={transfer}:pin=bt2020:min={matrix}:t=linear:npl={white},format=gbrpf32le,zscale=p=bt709,"
    "tonemap=tonemap=mobius:param=0.7:peak={peak:.3f}:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)
_TO_BT709 = "zscale=pin={primaries}:tin=bt709:min={matrix}:p=bt709:t=bt709:m=bt709:r=tv"
_ON_BLACK = "format=gbrap|gbrap10le|gbrap12le|gbrap16le,premultiply=inplace=1,format=gbrp|gbrp10le|gbrp12le|gbrp16le"
_QUARTERS = {90: "transpose=cclock,", 180: "hflip,vflip,", 270: "transpose=clock,"}


def format_seconds(time_s: Fraction) -> str:
    """Format a time for FFmpeg, to the microsecond."""
    return f"{float(time_s):.6f}"


def prepare(source: MediaSource, seek_s: Fraction) -> str:
    """Return the filters that precede all others, each followed by a comma: one size, one format, upright."""
    turn = "" if source.autorotate else _QUARTERS.get(source.report.video.rotation_deg, "")
    # A matrix that does not fit the pixels is still on every frame, and no filter can be configured with it.
    matrix = "setparams=colorspace=unknown," if source.matrix == "unknown" and not _is_rgb(source) else ""
    fit = f"{_fit_stretches(source, seek_s)}," if len(source.stretches) > 1 else ""
    return f"{matrix}{turn}{fit}{_ON_BLACK + ',' if source.transparent else ''}"


def _fit_stretches(source: MediaSource, seek_s: Fraction) -> str:
    """Return the filters that fit every part of a changing picture into one size, with bars where shapes differ."""
    width, height = source.report.video.width_px, source.report.video.height_px
    sizes = [_fit(stretch.width_px, stretch.height_px, width, height) for stretch in source.stretches]
    ends = [Fraction(stretch.start_us, 1_000_000) - seek_s for stretch in source.stretches[1:]]
    # A millisecond earlier, because containers round their times.
    expressions = [_choose_by_time([size[axis] for size in sizes], ends) for axis in (0, 1)]
    colour = "" if source.transparent else f":out_color_matrix=bt709:out_range=tv{_assume_matrix(source)}"
    pixels = "" if source.transparent else ",format=yuv420p"
    scale = f"scale=w='{expressions[0]}':h='{expressions[1]}':eval=frame:interl=-1:flags=bicubic{colour}{pixels}"
    return f"{scale},setsar=1,pad={width + width % 2}:{height + height % 2}:(ow-iw)/2:(oh-ih)/2:eval=frame"


def _fit(width: int, height: int, into_width: int, into_height: int) -> tuple[int, int]:
    scale = min(Fraction(into_width, width), Fraction(into_height, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _choose_by_time(values: list[int], ends_s: list[Fraction]) -> str:
    """Return an expression of the time that has each value up to its end."""
    terms = [str(values[0])]
    for (before, after), end_s in zip(pairwise(values), ends_s, strict=True):
        if after != before:
            terms.append(f"({after - before})*gte(t,{float(end_s) - 0.001:.6f})")
    return "+".join(terms)


def convert_rate(source: MediaSource, start_s: Fraction) -> str:
    """Return the filter that gives frames at the constant rate, starting with the one shown at `start_s`."""
    which = {"none": "", "all": "bwdif=mode=send_frame,", "flagged": "bwdif=mode=send_frame:deint=interlaced,"}
    rate = f"fps={source.rate}:start_time={format_seconds(start_s)}:round=near:eof_action=pass"
    shift = f"settb=AVTB,setpts=PTS+{source.shift_us}," if source.shift_us else ""
    fields = f"setfield={source.fields}," if source.fields else ""
    return fields + which[source.deinterlacing] + shift + rate


def convert_range(source: MediaSource) -> str:
    """Return the filter to BT.709 in standard range; empty for a picture that has it."""
    matrix = source.matrix if source.matrix.startswith("bt2020") else "bt2020nc"
    if source.hdr:
        transfer, peak = source.report.video.colour_transfer, max(1.5, source.peak_nits / _WHITE_NITS)
        return "," + _TONE_MAP.format(transfer=transfer, matrix=matrix, white=_WHITE_NITS, peak=peak)
    if source.wide_gamut:
        matrix = "gbr" if _is_rgb(source) else {"unknown": "bt2020nc"}.get(source.matrix, source.matrix)
        return "," + _TO_BT709.format(primaries=source.primaries, matrix=matrix)
    return ""


def scale(source: MediaSource, rung: Rung) -> str:
    """Return the filter to a rung's size, in BT.709 and square pixels."""
    scaled = f"scale={rung.width_px}:{rung.height_px}:flags=bicubic:out_color_matrix=bt709:out_range=tv"
    is_converted = source.hdr or source.wide_gamut or len(source.stretches) > 1
    return f"{scaled}{'' if is_converted else _assume_matrix(source)},format=yuv420p,setsar=1,{_COLOUR}"


def _assume_matrix(source: MediaSource) -> str:
    """Return the matrix to assume for an untagged picture: BT.601 where it is small, as players do."""
    if source.matrix != "unknown" or _is_rgb(source):
        return ""
    is_large = min(source.report.video.width_px, source.report.video.height_px) > 576
    return f":in_color_matrix={'bt709' if is_large else 'bt601'}"


def _is_rgb(source: MediaSource) -> bool:
    return source.transparent or is_rgb(source.report.video.pixel_format)
