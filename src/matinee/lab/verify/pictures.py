"""Compares pictures: which frames are there and in which order, the size, and the colours."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from matinee.lab.verify.checks import Check, judge
from matinee.lab.verify.media import Floats, Pictures, has_alpha, read_turn

_WINDOW = 15
_SEARCH_S = 2.5
_SAMPLE = 240
# Two thumbnails with a smaller mean squared difference are the same picture.
_SAME = 0.002
_ASPECT_TOLERANCE = 0.02
_FLAT = 3.0
# Of nine patches in ten, and of all: quantisation changes saturated colours of small renditions most.
_COLOUR_TOLERANCE, _COLOUR_LIMIT = 9.0, 24.0
HIGHEST_RATE = 60.5
HDR = ("smpte2084", "arib-std-b67")
_RGB = ("gbr", "rgb", "bgr", "argb", "abgr", "pal", "0rgb", "0bgr")


class Match(msgspec.Struct, frozen=True):
    """For each output frame the number of its source frame; `offset_s` is output time less source time."""

    numbers: NDArray[np.int64]
    offset_s: float
    distance: float


def match_frames(output: Pictures, source: Pictures) -> Match:
    """Find the source frame of every output frame."""
    offset_s = _find_offset(output, source)
    expected = _find_shown(source.times_s, output.times_s - offset_s, _choose_margin(output, source))
    shifts = np.array(sorted(np.arange(-_WINDOW, _WINDOW + 1), key=abs))
    distances = np.stack([_measure(output.thumbs, source.thumbs, expected + shift) for shift in shifts])
    best = distances.min(axis=0)
    # Where neighbours look the same, the frame of that time is the right one.
    close = distances <= best + 0.5 * np.median(best) + _SAME / 4
    numbers = np.clip(expected + shifts[close.argmax(axis=0)], 0, len(source.times_s) - 1)
    # A picture may be held: where it begins is compared.
    begins = np.flatnonzero(np.diff(numbers, prepend=-1))
    offset_s = float(np.median(output.times_s[begins] - source.times_s[numbers[begins]]))
    return Match(numbers, offset_s, float(np.median(best)))


def check_frames(name: str, output: Pictures, source: Pictures, match: Match) -> Check:
    """Check that every source picture is there once, in order and at its time."""
    steps = np.diff(match.numbers)
    backwards = int((steps < 0).sum())
    source_rate, output_rate = 1 / source.frame_s, 1 / output.frame_s
    is_varying = len(source.times_s) > 2 and float(np.ptp(np.diff(source.times_s))) > 0.4 * source.frame_s
    keeps_rate = not is_varying and abs(source_rate - output_rate) < 0.01 * source_rate
    lost = 0 if source_rate > HIGHEST_RATE else _count_lost(source, match.numbers)
    repeated = _count_repeated(source, match.numbers) if keeps_rate else 0
    late_s = float(np.abs(output.times_s - match.offset_s - source.times_s[match.numbers]).max())
    late = int(late_s > 1.5 * max(output.frame_s, source.frame_s)) if keeps_rate else 0
    counts = {"lost": lost, "repeated": repeated, "out of order": backwards, "at the wrong time": late}
    missing = len(source.times_s) - len(output.times_s) if keeps_rate else 0
    faults = [f"{count} {what}" for what, count in counts.items() if count]
    faults += [f"{abs(missing)} too {'few' if missing > 0 else 'many'}"] if missing else []
    faults += ["the pictures differ"] if match.distance > 0.5 else []
    found = f"{len(output.times_s)} of {len(source.times_s)}, {output_rate:.3f} of {source_rate:.3f} a second"
    return judge("frames", name, not faults, f"{found}: {', '.join(faults)}" if faults else found)


def check_size(name: str, width_px: int, height_px: int, stream: dict[str, Any]) -> Check:
    """Check the aspect of a rendition with square pixels against the display size of the source."""
    wide, high = compute_display_size(stream)
    is_right = abs(width_px / height_px / (wide / high) - 1) <= _ASPECT_TOLERANCE + 1.5 / min(width_px, height_px)
    return judge("size", name, is_right, f"{width_px}x{height_px} of {wide:.0f}x{high:.0f}")


def compute_display_size(stream: dict[str, Any]) -> tuple[float, float]:
    """Compute the size at which a source is shown."""
    wide, high = float(stream["width"]), float(stream["height"])
    for crop in stream.get("side_data_list", []):
        wide -= int(crop.get("crop_left", 0)) + int(crop.get("crop_right", 0))
        high -= int(crop.get("crop_top", 0)) + int(crop.get("crop_bottom", 0))
    ratio = str(stream.get("sample_aspect_ratio", "1:1")).replace(":", "/")
    aspect = float(Fraction(ratio)) if ratio not in ("0/1", "N/A") and not ratio.endswith("/0") else 1.0
    wide *= aspect if 1 / 8 <= aspect <= 8 else 1.0
    return (high, wide) if read_turn(stream) % 180 == 90 else (wide, high)


def list_conversions(stream: dict[str, Any]) -> list[str]:
    """List filters from a source to RGB in BT.709 as its tags say; where players differ there are two."""
    pixels = str(stream.get("pix_fmt", ""))
    if has_alpha(stream):
        return ["format=gbrp"]
    if pixels.startswith(_RGB):
        return ["format=gbrp"]
    wide, high = compute_display_size(stream)
    assumed = "bt709" if min(wide, high) > 576 else "smpte170m"
    matrix, primaries = _read_tag(stream, "color_space"), _read_tag(stream, "color_primaries")
    full = stream.get("color_range") == "pc" or pixels.startswith("yuvj")
    wide_gamut = primaries in ("bt2020", "smpte431", "smpte432")
    gamuts = [primaries] if wide_gamut else [primaries or "bt709", "bt709"]
    pairs = dict.fromkeys((name, gamut) for name in (matrix or assumed, assumed) for gamut in gamuts)
    return [_convert(name, gamut, full=full) for name, gamut in pairs]


OUTPUT_CONVERSION = "zscale=min=bt709:tin=bt709:pin=bt709:rin=limited:m=gbr:t=bt709:p=bt709:r=full,format=gbrp"


def compare_colours(output: NDArray[np.float64], source: NDArray[np.float64]) -> tuple[bool, str]:
    """Compare flat patches of frames, or the mean of all where there are none; return the verdict and the figures."""
    cells, references = _average(output), _average(source)
    flat = _measure_spread(source) < _FLAT
    if flat.sum() < 8:
        cells, references = output.mean(axis=(1, 2)), source.mean(axis=(1, 2))
        flat = np.ones(len(cells), bool)
    differences = np.abs(cells - references)[flat].max(axis=-1)
    most, worst = float(np.percentile(differences, 90)), int(differences.argmax())
    pair = (_format_rgb(references[flat][worst]), _format_rgb(cells[flat][worst]))
    found = f"{flat.sum()} patches within {most:.1f}; the worst is {pair[1]} of {pair[0]}"
    return most <= _COLOUR_TOLERANCE and float(differences.max()) <= _COLOUR_LIMIT, found


def _find_offset(output: Pictures, source: Pictures) -> float:
    """Find the offset of the output's clock at which its pictures are most like the source's."""
    likely = float(output.times_s[0] - source.times_s[0])
    every = max(1, len(output.times_s) // _SAMPLE)
    times, thumbs = output.times_s[::every], output.thumbs[::every]
    step = float(min(output.frame_s, source.frame_s))
    steps, margin_s = int(_SEARCH_S / step), _choose_margin(output, source)
    offsets = likely + step * np.arange(-steps, steps + 1)
    costs = np.array(
        [_measure(thumbs, source.thumbs, _find_shown(source.times_s, times - o, margin_s)).mean() for o in offsets]
    )
    good = offsets[costs <= costs.min() * 1.02 + _SAME / 20]
    return float(good[np.abs(good - likely).argmin()])


def _choose_margin(output: Pictures, source: Pictures) -> float:
    """Return how much earlier than its time a source picture may be shown."""
    return 0.45 * min(output.frame_s, source.frame_s)


def _find_shown(times_s: NDArray[np.float64], wanted_s: NDArray[np.float64], margin_s: float) -> NDArray[np.int64]:
    """Find the pictures that are shown at the wanted times: the last that has begun."""
    return np.maximum(np.searchsorted(times_s, wanted_s + margin_s, side="right") - 1, 0)


def _measure(thumbs: Floats, others: Floats, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean squared difference of each thumbnail to another one; infinite where there is none."""
    inside = (numbers >= 0) & (numbers < len(others))
    distances = ((thumbs - others[np.clip(numbers, 0, len(others) - 1)]) ** 2).mean(axis=1).astype(np.float64)
    return np.where(inside, distances, np.inf) if inside.any() else distances


def _count_lost(source: Pictures, numbers: NDArray[np.int64]) -> int:
    """Count the source pictures without an output frame, except those that look like one that has it."""
    present = np.zeros(len(source.times_s), bool)
    present[numbers] = True
    lost = 0
    for number in np.flatnonzero(~present):
        first = max(0, int(number) - 2)
        near = [first + int(n) for n in np.flatnonzero(present[first : int(number) + 3])]
        same = near and min(float(((source.thumbs[number] - source.thumbs[n]) ** 2).mean()) for n in near) < _SAME
        lost += not same
    return lost


def _count_repeated(source: Pictures, numbers: NDArray[np.int64]) -> int:
    """Count the output frames that show the picture of the one before, where the source moves on."""
    repeated = np.flatnonzero(np.diff(numbers) == 0)
    following = np.minimum(numbers[repeated] + 1, len(source.times_s) - 1)
    moves = ((source.thumbs[numbers[repeated]] - source.thumbs[following]) ** 2).mean(axis=1) > _SAME
    return int(moves.sum())


def _read_tag(stream: Mapping[str, Any], name: str) -> str:
    value = str(stream.get(name, "unknown"))
    return "" if value in ("unknown", "unspecified", "reserved", "gbr") else value


def _convert(matrix: str, primaries: str, *, full: bool) -> str:
    given = f"min={matrix}:tin=bt709:pin={primaries}:rin={'full' if full else 'limited'}"
    return f"zscale={given}:m=gbr:t=bt709:p=bt709:r=full,format=gbrp"


def _group(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    frames, height, width, _ = patches.shape
    return patches.reshape(frames, height // 4, 4, width // 4, 4, 3).swapaxes(2, 3).reshape(-1, 16, 3)


def _average(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the inner cells of each patch: at its edges, colours run into one another."""
    inner = _group(patches).reshape(-1, 4, 4, 3)[:, 1:3, 1:3]
    means: NDArray[np.float64] = inner.mean(axis=(1, 2))
    return means


def _measure_spread(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    spread: NDArray[np.float64] = np.ptp(_group(patches), axis=1).max(axis=-1)
    return spread


def _format_rgb(colour: NDArray[np.float64]) -> str:
    return f"({', '.join(str(round(value)) for value in colour)})"
